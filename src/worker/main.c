/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawview-worker FD: looks at an image and answers the requests for its view, and can open nothing. rawviewd starts it
 * with one end of their channel as descriptor FD; everything else comes through that channel (ipc/message.h). How
 * long it lives is the supervisor's decision: it ends when its file system is gone or when the supervisor is.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/memory-trim.h"
#include "block/cache.h"
#include "crypto/crypto.h"
#include "fuse/serve.h"
#include "ipc/channel.h"
#include "sandbox/sandbox.h"
#include "view/view.h"
#include "worker/confine.h"
#include "worker/partitions.h"
#include "worker/shown.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

enum {
        WORKER_EXIT_USAGE = 64,
        /* Few threads allocate, and none of them much. */
        WORKER_MALLOC_ARENAS = 2,
        /* So much larger than at the start the cache may become: for that there are addresses enough (RLIMIT_AS). */
        WORKER_CACHE_GROWTH = 256 << 20,
        /* Once a second it is looked for threads with nothing to do, as long as any has something to give back. */
        WORKER_TRIM_MS = 1000,
};

typedef struct Worker {
        int channel;
        int wake_fd;
        Message image; /* MESSAGE_IMAGE as it came */
        SandboxReport sandbox;
        Shown shown;
        Folder *folder; /* owns the view where there is one */
        View *view;     /* of all that there are, the first */
        Serve *serve;
        /* When it was looked for memory to give back, and whether there was any. */
        time_t trimmed;
        bool holds;
} Worker;

static void worker_done(Worker *w)
{
        w->serve = serve_free(w->serve);
        if (!w->folder)
                w->view = view_free(w->view);
        w->folder = folder_free(w->folder);
        shown_done(&w->shown);
        cleanup_close(&w->wake_fd);
        cleanup_close(&w->channel);
}

/* 1: there is one of the kind that we wait for. 0: the supervisor is gone. */
static int worker_receive(Worker *w, MessageKind kind, Message *ret, int *ret_fd, Err *err)
{
        Message m;
        int fd = -1;

        int r = channel_receive(w->channel, &m, &fd, err);
        if (r <= 0)
                return r;
        if (m.kind != kind) {
                cleanup_close(&fd);
                return err_set(err, EPROTO, "message %u came where %u was expected", m.kind, kind);
        }
        *ret = m;
        *ret_fd = fd;
        return 1;
}

static int worker_seal(Worker *w, Err *err)
{
        Message m = { .kind = MESSAGE_SEALED };

        m.sealed.size =
                w->shown.window.is_part ? w->shown.window.len : node_get_size(w->shown.node);
        m.sealed.sector_size = w->image.image.loop
                                       ? window_get_sector_size(&w->shown.window, w->shown.node)
                                       : WINDOW_SECTOR_SIZE;
        m.sealed.guessed = w->shown.guessed;
        m.sealed.repaired = w->shown.node->repaired;
        m.sealed.plain = w->shown.plain;
        m.sealed.table_damaged =
                w->shown.window.table_is_damaged || (w->shown.table && w->shown.table->damage[0]);
        m.sealed.barriers = w->sandbox.applied;
        m.sealed.barriers_lacking = w->sandbox.lacking;
        snprintf(m.sealed.format, sizeof(m.sealed.format), "%s", w->shown.format->name);
        return channel_send(w->channel, &m, -1, err);
}

static int worker_start_serving(Worker *w, const MessageServe *serve, int fd, Err *err)
{
        ViewOptions view_options = {
                .writable = w->image.image.writable,
                .growable = w->image.image.growable,
                .start = w->shown.window.start,
                .len = w->shown.window.len,
                .passthrough = serve->backing_id > 0,
                .uid = serve->uid,
                .gid = serve->gid,
                .mode = serve->mode,
                .allow_other = serve->allow_other,
                .image = w->image.image.path,
                .unit = serve->unit,
                .overlay = w->shown.overlay.path[0] ? w->shown.overlay.path : NULL,
                .layer = w->image.image.layer,
                .layer_alone = w->image.image.layer_alone,
                .digests = w->shown.digests.facts,
                .digest_count = w->shown.digests.count,
                .pid = serve->supervisor_pid,
                .barriers = w->sandbox.applied,
                .wake_fd = w->wake_fd,
        };
        int r = w->shown.table ? partitions_show(w->shown.node, w->shown.table, &view_options,
                                                 &w->folder, err)
                               : view_new(w->shown.node, &view_options, &w->view, err);
        if (r < 0)
                return r;
        if (w->folder)
                w->view = w->folder->entries[0].view;

        ServeOptions serve_options = {
                .view = w->view,
                .folder = w->folder,
                .fd = fd,
                .backing_id = serve->backing_id,
                .init_request = serve->init_request,
                .init_request_len = serve->init_request_len,
                .init_answer = serve->init_answer,
                .init_answer_len = serve->init_answer_len,
                .wake_fd = w->wake_fd,
        };
        r = serve_start(&serve_options, &w->serve, err);
        if (r < 0)
                return r;

        Message m = { .kind = MESSAGE_SERVING };
        return channel_send(w->channel, &m, -1, err);
}

static time_t worker_now(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

/* -1 is for ever. */
static int worker_sooner(int a, int b)
{
        return a < 0 || (b >= 0 && b < a) ? b : a;
}

static size_t worker_count_views(const Worker *w)
{
        return w->folder ? w->folder->count : 1;
}

static View *worker_get_view(const Worker *w, size_t i)
{
        return w->folder ? w->folder->entries[i].view : w->view;
}

static int worker_report_faults_of(Worker *w, View *v)
{
        Fault fault = { 0 };
        uint64_t count = 0;
        int seconds = view_take_report(v, worker_now(), &fault, &count);

        if (seconds != 0)
                return seconds < 0 ? -1 : seconds * 1000;

        Message m = { .kind = MESSAGE_FAULT };
        m.fault = (MessageFault){
                .code = fault.code,
                .is_write = fault.op,
                .off = fault.off,
                .len = fault.len,
                .count = count,
        };
        /* Whether the supervisor is gone is seen by poll. */
        (void)channel_send(w->channel, &m, -1, NULL);
        return -1;
}

/* Tells of faults if it is time to. Gives the milliseconds until it may be, -1: for ever. */
static int worker_report_faults(Worker *w)
{
        int limit_ms = -1;

        for (size_t i = 0; i < worker_count_views(w); i++)
                limit_ms =
                        worker_sooner(limit_ms, worker_report_faults_of(w, worker_get_view(w, i)));
        return limit_ms;
}

/* What requests have taken goes back when none come any more. Gives the milliseconds until the next look, -1: for ever. */
static int worker_trim(Worker *w)
{
        time_t now = worker_now();

        if (now == w->trimmed)
                return WORKER_TRIM_MS;
        w->trimmed = now;
        bool held = w->holds;
        w->holds = serve_trim(w->serve);
        if (held && !w->holds)
                memory_trim();
        return w->holds ? WORKER_TRIM_MS : -1;
}

static int worker_change_file(Worker *w, const MessageChange *change)
{
        ViewChange file = {
                .has_uid = change->what & MESSAGE_CHANGE_UID,
                .has_gid = change->what & MESSAGE_CHANGE_GID,
                .has_mode = change->what & MESSAGE_CHANGE_MODE,
                .uid = change->uid,
                .gid = change->gid,
                .mode = change->mode,
        };

        for (size_t i = 0; i < worker_count_views(w); i++) {
                View *v = worker_get_view(w, i);
                /* Of a folder that is written to, what cannot be written. */
                if (w->folder && !view_is_writable(v))
                        file.mode &= ~(mode_t)0222;
                else
                        file.mode = change->mode;
                int r = view_change(v, &file);
                if (r < 0)
                        return r;
        }
        return serve_forget_attributes(w->serve);
}

static void worker_change(Worker *w, const MessageChange *change)
{
        uint64_t most = w->image.image.cache_size + WORKER_CACHE_GROWTH;
        Message m = { .kind = MESSAGE_CHANGED, .changed.what = change->what };
        CacheStat cache;

        if (change->what & MESSAGE_CHANGE_OF_FILE) {
                int r = worker_change_file(w, change);
                if (r < 0) {
                        m.changed.what &= ~(uint32_t)MESSAGE_CHANGE_OF_FILE;
                        m.changed.code = -r;
                }
        }
        if (change->what & MESSAGE_CHANGE_CACHE) {
                (void)cache_set_budget(w->shown.cache, u64_min(change->cache_size, most));
                /* What has gone from the cache is of use to others only when the C library gives it back. */
                malloc_trim(0);
        }
        cache_get_stat(w->shown.cache, &cache);
        m.changed.cache_size = cache.budget;
        (void)channel_send(w->channel, &m, -1, NULL);
}

/* 1: taken. 0: the supervisor is gone. What it has nothing to say about while we serve is an error. */
static int worker_take_message(Worker *w, Err *err)
{
        Message m;
        _cleanup_close_ int fd = -1;

        int r = channel_receive(w->channel, &m, &fd, err);
        if (r <= 0)
                return r;
        switch (m.kind) {
        case MESSAGE_CHANGE:
                worker_change(w, &m.change);
                return 1;
        case MESSAGE_LOOP:
                view_set_loop(w->view, m.loop.number >= 0                   ? m.loop.number
                                       : m.loop.number == MESSAGE_LOOP_LOST ? (int)STATE_LOOP_LOST
                                                                            : (int)STATE_LOOP_NONE);
                return 1;
        case MESSAGE_ENDING:
                view_refuse_opening(w->view, m.ending.exempt_pid);
                return 1;
        default:
                return err_set(err, EPROTO, "message %u came while serving", m.kind);
        }
}

/* Until the file system is gone (1) or the supervisor (0). */
static int worker_wait(Worker *w, Err *err)
{
        for (;;) {
                struct pollfd p[] = {
                        { .fd = w->channel, .events = POLLIN },
                        { .fd = w->wake_fd, .events = POLLIN },
                };
                int limit_ms = worker_sooner(worker_report_faults(w), worker_trim(w));
                if (poll(p, 2, limit_ms) < 0 && errno != EINTR)
                        return err_set(err, errno, "cannot wait: %m");
                if (p[1].revents & POLLIN) {
                        uint64_t count;
                        ssize_t n = read(w->wake_fd, &count, sizeof(count));
                        (void)n;
                }
                if (serve_has_ended(w->serve))
                        return 1;
                if (p[0].revents) {
                        int r = worker_take_message(w, err);
                        if (r <= 0)
                                return r;
                }
        }
}

/* Everything that was answered is brought to disk, whatever ended the serving. */
static int worker_finish(Worker *w, Err *err)
{
        int r = serve_stop(w->serve, err);
        if (!w->image.image.writable)
                return r;

        int flushed = view_finish(w->view);
        if (flushed < 0)
                return err_set(err, -flushed, "cannot flush the image: %m");
        return r;
}

/* What failed before anything was served. */
static int worker_tell_failed(Worker *w, int r, const Err *err)
{
        Message m = { .kind = MESSAGE_FAILED };

        m.error.code = -r;
        snprintf(m.error.text, sizeof(m.error.text), "%s", err->text);
        (void)channel_send(w->channel, &m, -1, NULL);
        return EXIT_FAILURE;
}

static int worker_tell_done(Worker *w, int r, const Err *err)
{
        Message m = { .kind = MESSAGE_DONE };

        m.done.code = -r;
        snprintf(m.done.text, sizeof(m.done.text), "%s", r < 0 ? err->text : "");
        (void)channel_send(w->channel, &m, -1, NULL);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* 1: served, and the file system or the supervisor is gone. 0: the supervisor was gone before. */
static int worker_serve(Worker *w, Err *err)
{
        Message m;
        _cleanup_close_ int fuse_fd = -1;

        int r = worker_receive(w, MESSAGE_SERVE, &m, &fuse_fd, err);
        if (r <= 0)
                return r;
        r = worker_start_serving(w, &m.serve, fuse_fd, err);
        return r < 0 ? r : 1;
}

static int worker_run(Worker *w)
{
        Err err = { "" };
        int image_fd = -1;

        int r = worker_receive(w, MESSAGE_IMAGE, &w->image, &image_fd, &err);
        if (r == 0)
                return EXIT_FAILURE;
        if (r < 0)
                return worker_tell_failed(w, r, &err);

        /* Nothing of the image has been looked at yet; from here on all that is done depends on its bytes. */
        r = worker_confine(&w->image.image, w->channel, w->wake_fd, image_fd, &w->sandbox, &err);
        if (r < 0)
                close(image_fd);
        else
                r = shown_open(&w->shown, &w->image.image, w->channel, image_fd, &err);
        if (r >= 0)
                r = worker_seal(w, &err);
        if (r < 0)
                return worker_tell_failed(w, r, &err);

        r = worker_serve(w, &err);
        if (r == 0)
                return EXIT_SUCCESS;
        if (r < 0)
                return worker_tell_failed(w, r, &err);

        int waited = worker_wait(w, &err);
        r = worker_finish(w, &err);
        if (waited >= 0 && r >= 0)
                r = digests_read(&w->shown.digests, w->channel, &err);
        return worker_tell_done(w, waited < 0 ? waited : r, &err);
}

static void worker_ignore_signals(void)
{
        /* SIGXFSZ: a file that may not grow any more is an error for the writer. */
        static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ };

        for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
                signal(ignored[i], SIG_IGN);
}

int main(int argc, char *argv[])
{
        char *end = NULL;
        long channel = argc == 2 ? strtol(argv[1], &end, 10) : -1;

        if (channel < 3 || channel > 1023 || *end != '\0') {
                fprintf(stderr, "rawview-worker is started by rawviewd, not by hand.\n");
                return WORKER_EXIT_USAGE;
        }
        worker_ignore_signals();
        /* While files can still be opened. A build without ciphers says so when an image wants one. */
        (void)crypto_start(NULL);
        mallopt(M_ARENA_MAX, WORKER_MALLOC_ARENAS);

        _cleanup_(worker_done) Worker w = {
                .channel = (int)channel,
                .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        };
        if (w.wake_fd < 0) {
                Err err;
                int r = err_set(&err, errno, "cannot make an eventfd: %m");
                return worker_tell_failed(&w, r, &err);
        }
        return worker_run(&w);
}
