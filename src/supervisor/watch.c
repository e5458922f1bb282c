/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/watch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "supervisor/loop-device.h"
#include "supervisor/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
        /* A broken disk makes a fault a request; the log gets one line a minute. */
        WATCH_FAULT_MS = 60 * 1000,
        /* A worker sends one message about faults a minute. */
        WATCH_FAULT_MESSAGES_MAX = 60,
        /* Who has said that all is done has nothing more to do. Under a sanitizer that takes a while. */
        WATCH_END_MS = 20 * 1000,
        /* What a dead worker can have left in the channel, and more. */
        WATCH_LAST_WORDS_MAX = 1000,
};

#define WATCH_FORMAT_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

int64_t watch_now_ms(void)
{
        return clock_now_ms();
}

void watch_fail(Manager *m, int code, const char *text)
{
        if (m->failure_code == 0) {
                m->failure_code = code > 0 ? code : EIO;
                err_set(&m->failure, m->failure_code, "%s", text);
        }
}

static void watch_close_channel(Manager *m)
{
        cleanup_close(&m->worker.channel);
        m->worker.channel = -1;
}

/* Nothing more is heard of it. */
static void watch_take_violation(Manager *m, const char *text)
{
        Err err;

        err_set(&err, EPROTO, "the worker broke the rules (%s) and was ended", text);
        watch_fail(m, ECHILD, err.text);
        worker_kill(&m->worker);
        watch_close_channel(m);
}

/* It may finish, but not for ever. */
static void watch_take_goodbye(Manager *m)
{
        if (m->end_ms == 0)
                m->end_ms = watch_now_ms() + WATCH_END_MS;
}

static void watch_take_open(Manager *m, const MessageOpen *ask)
{
        Message answer;
        int fd = -1;
        Err err;

        if (broker_answer(&m->image, ask, &answer, &fd, &err) < 0 ||
            channel_send(m->worker.channel, &answer, fd, &err) < 0)
                watch_take_violation(m, err.text);
}

/* In either way the worker is not to be kept waiting when it cannot be answered. */
static void watch_judge_unlock(Manager *m, int r, const Err *err)
{
        if (r < 0)
                watch_take_violation(m, err->text);
}

static void watch_take_secret_wanted(Manager *m, const MessageSecretWanted *wanted)
{
        Err err = { "" };

        int r = unlock_take(m, wanted, &err);
        watch_judge_unlock(m, r, &err);
}

static void watch_go_on_unlocking(Manager *m, bool readable)
{
        Err err = { "" };

        int r = unlock_go_on(m, readable, &err);
        watch_judge_unlock(m, r, &err);
}

static void watch_take_fault(Manager *m, const MessageFault *f)
{
        static const char *const operations[] = { "read", "write", "flush", "request" };
        int64_t now = watch_now_ms();

        m->fault_count += f->count;
        if (m->fault_ms && now - m->fault_ms < WATCH_FAULT_MS) {
                if (++m->fault_messages > WATCH_FAULT_MESSAGES_MAX)
                        watch_take_violation(m, "it tells of faults without end");
                return;
        }
        m->fault_messages = 0;
        errno = f->code;
        event_log(event_choose_fault(f->code), &m->subject, f->code,
                  "%s: %s of %" PRIu64 " bytes at %" PRIu64 ": %m (%" PRIu64 " failed so far)",
                  m->image.layers[0].path, operations[f->is_write < 3 ? f->is_write : 3], f->len,
                  f->off, m->fault_count);
        m->fault_ms = now;
}

static void watch_take_sealed(Manager *m, const MessageSealed *sealed)
{
        size_t len = strlen(sealed->format);

        if (len == 0 || strspn(sealed->format, WATCH_FORMAT_LETTERS) != len) {
                watch_take_violation(m, "the name of its format is none");
                return;
        }
        if (sealed->plain > m->image.count) {
                watch_take_violation(m, "its disk is a file that was never opened");
                return;
        }
        if (sealed->sector_size != 512 && sealed->sector_size != 4096) {
                watch_take_violation(m, "the size of its sectors is none");
                return;
        }
        m->sealed = *sealed;
        m->subject.format = m->sealed.format;
        m->stage = STAGE_SEALED;
}

static void watch_take_failed(Manager *m, const MessageError *error)
{
        Err err;

        int r = broker_explain(&m->image, error, &err);
        r = unlock_explain(&m->unlock, r, &err);
        watch_fail(m, -r, err.text[0] ? err.text : "the worker failed and does not say why");
}

/* What it says was not believed before, and is not now: a failure without a text is one all the same. */
static void watch_take_done(Manager *m, const MessageDone *done)
{
        m->done = *done;
        m->stage = STAGE_DONE;
        if (done->code != 0 && !done->text[0])
                snprintf(m->done.text, sizeof(m->done.text),
                         "the worker could not end well and does not say why");
        watch_take_goodbye(m);
}

static void watch_take_digest(Manager *m, const MessageDigest *digest)
{
        Err err = { "" };

        if (unchanged_take(m, digest, &err) < 0)
                watch_take_violation(m, err.text);
}

static void watch_take_progress(Manager *m, const MessageProgress *progress)
{
        Err err = { "" };

        if (progressing_take(m, progress, &err) < 0)
                watch_take_violation(m, err.text);
}

static void watch_take_changed(Manager *m, const MessageChanged *changed)
{
        m->changes_unanswered--;
        m->changed = *changed;
}

/* Is this the time for such a message? */
static bool watch_may_say(const Manager *m, uint32_t kind)
{
        switch (kind) {
        case MESSAGE_OPEN:
        case MESSAGE_SECRET_WANTED:
        case MESSAGE_SEALED:
                /* Who waits for a passphrase says nothing. */
                return m->stage == STAGE_OPENING && !m->unlock.is_asking;
        case MESSAGE_PROGRESS:
                return m->stage == STAGE_OPENING && !m->unlock.is_asking && m->config->writable;
        case MESSAGE_DIGEST:
                return unchanged_may_be_said(m);
        case MESSAGE_FAILED:
                return m->stage < STAGE_SERVING;
        case MESSAGE_SERVING:
                return m->stage == STAGE_STARTING;
        case MESSAGE_FAULT:
                return m->stage == STAGE_SERVING;
        case MESSAGE_CHANGED:
                return m->stage == STAGE_SERVING && m->changes_unanswered > 0;
        case MESSAGE_DONE:
                return m->stage == STAGE_STARTING || m->stage == STAGE_SERVING;
        default:
                return false;
        }
}

static void watch_take_message(Manager *m, const Message *message)
{
        if (message->kind != MESSAGE_PROGRESS && message->kind != MESSAGE_DIGEST)
                progressing_wipe(m);
        if (!watch_may_say(m, message->kind)) {
                watch_take_violation(m, message->kind == MESSAGE_OPEN && m->stage > STAGE_OPENING
                                                ? "it asked for a file after it had said that it "
                                                  "needed none"
                                                : "a message at the wrong time");
                return;
        }
        switch (message->kind) {
        case MESSAGE_OPEN:
                watch_take_open(m, &message->open);
                break;
        case MESSAGE_SECRET_WANTED:
                watch_take_secret_wanted(m, &message->secret_wanted);
                break;
        case MESSAGE_SEALED:
                watch_take_sealed(m, &message->sealed);
                break;
        case MESSAGE_FAILED:
                watch_take_failed(m, &message->error);
                break;
        case MESSAGE_DIGEST:
                watch_take_digest(m, &message->digest);
                break;
        case MESSAGE_PROGRESS:
                watch_take_progress(m, &message->progress);
                break;
        case MESSAGE_SERVING:
                m->stage = STAGE_SERVING;
                break;
        case MESSAGE_FAULT:
                watch_take_fault(m, &message->fault);
                break;
        case MESSAGE_CHANGED:
                watch_take_changed(m, &message->changed);
                break;
        default:
                watch_take_done(m, &message->done);
                break;
        }
}

/* Takes one message. The channel is closed when no more will come. */
static void watch_take_packet(Manager *m)
{
        Message message;
        Err err = { "" };

        int r = channel_receive(m->worker.channel, &message, NULL, &err);
        if (r > 0)
                watch_take_message(m, &message);
        else if (r < 0)
                watch_take_violation(m, err.text);
        else
                watch_close_channel(m);
        if (m->worker.channel < 0)
                watch_take_goodbye(m);
}

/* What it said last may be waiting still. */
static void watch_take_end(Manager *m)
{
        for (int i = 0; i < WATCH_LAST_WORDS_MAX && m->worker.channel >= 0; i++) {
                struct pollfd p = { .fd = m->worker.channel, .events = POLLIN };
                if (poll(&p, 1, 0) <= 0)
                        break;
                watch_take_packet(m);
        }
        watch_close_channel(m);

        Err err;
        int r = worker_reap(&m->worker, &err);
        /* One that has told of a failure ends with a status other than 0, which says nothing new. */
        if (m->stage != STAGE_DONE || (r < 0 && m->done.code == 0))
                watch_fail(m, ECHILD, err.text);
        m->worker_gone = true;
}

static void watch_take_signal(Manager *m)
{
        struct signalfd_siginfo s;

        progressing_wipe(m);
        if (read(m->signals, &s, sizeof(s)) == sizeof(s))
                m->stop_asked++;
}

/* The signal stays where it is, for reload_run. Without a terminal any more there is nobody to ask for another end, so
 * this one is not made more urgent. */
static void watch_take_hangup(Manager *m)
{
        m->reload_asked = true;
        if (!m->terminal || terminal_is_there())
                return;
        log_line(LOG_LEVEL_NOTICE, "%s: the terminal is gone, and the view ends with it",
                 m->config->path);
        m->terminal = false;
        m->stop_asked++;
}

/* Whoever started us was interrupted, and would never learn that the view is there. */
static void watch_take_waiter_gone(Manager *m)
{
        m->waiter = -1;
        watch_fail(m, EPIPE, "nobody waits for the view any more");
}

/* What it may still take to end, or `timeout_ms` where that is less. */
static int watch_limit(const Manager *m, int timeout_ms)
{
        timeout_ms = unlock_limit(&m->unlock, timeout_ms);
        if (m->end_ms == 0 || m->worker_gone)
                return timeout_ms;
        int64_t left = m->end_ms - watch_now_ms();
        if (left < 0)
                left = 0;
        return timeout_ms < 0 || left < timeout_ms ? (int)left : timeout_ms;
}

/* One that has ended already is heard of in the same step, so this is asked last. One that was killed can be in the
 * middle of a request that nobody answers: it is asked for again, but never waited for without a pause. */
static void watch_end_late_worker(Manager *m)
{
        if (m->end_ms == 0 || m->worker_gone || watch_now_ms() < m->end_ms)
                return;
        watch_fail(m, ECHILD, "the worker said goodbye, but did not end, and was killed");
        worker_kill(&m->worker);
        m->end_ms = watch_now_ms() + WATCH_END_MS;
}

/* The /dev/fuse descriptor is not among them: each request would wake us, too. That the connection has ended is heard
 * from the worker, which reads there. */
int watch_step(Manager *m, int extra_fd, int timeout_ms)
{
        struct pollfd p[] = {
                { .fd = m->signals, .events = POLLIN },
                { .fd = m->worker.channel, .events = POLLIN },
                { .fd = m->worker_gone ? -1 : m->worker.pidfd, .events = POLLIN },
                { .fd = extra_fd, .events = POLLIN },
                /* A pipe that nobody reads any more is an error even to who asks for nothing. */
                { .fd = m->waiter },
                { .fd = pulse_fd(&m->pulse), .events = POLLIN },
                { .fd = m->reload_asked ? -1 : m->hangups, .events = POLLIN },
                { .fd = unlock_poll_fd(&m->unlock), .events = POLLIN },
                { .fd = loop_device_fd(m), .events = POLLIN },
        };

        timeout_ms = pulse_limit(&m->pulse, watch_now_ms(), watch_limit(m, timeout_ms));
        int n = poll(p, sizeof(p) / sizeof(p[0]), timeout_ms);
        if (n < 0 && errno != EINTR)
                return -errno;
        if (n > 0 && p[0].revents)
                watch_take_signal(m);
        if (n > 0 && p[6].revents)
                watch_take_hangup(m);
        if (n > 0 && p[4].revents)
                watch_take_waiter_gone(m);
        watch_go_on_unlocking(m, n > 0 && p[7].revents);
        if (n > 0 && p[1].revents)
                watch_take_packet(m);
        if (n > 0 && p[2].revents)
                watch_take_end(m);
        if (n > 0 && p[8].revents)
                loop_device_take_end(m);
        watch_end_late_worker(m);
        pulse_step(m, watch_now_ms());
        return n > 0 && p[3].revents != 0;
}

int watch_worker_end(Manager *m, int limit_ms)
{
        int64_t end = watch_now_ms() + limit_ms;

        while (!m->worker_gone) {
                int64_t left = end - watch_now_ms();
                if (left <= 0)
                        return -ETIMEDOUT;
                int r = watch_step(m, -1, (int)left);
                if (r < 0)
                        return r;
        }
        return 0;
}
