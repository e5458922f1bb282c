/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/watch.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "ipc/channel.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
        /* A broken disk makes a fault a request; the log gets one line a minute. */
        WATCH_FAULT_MS = 60 * 1000,
};

int64_t watch_now_ms(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The first reason stays. */
static void watch_fail_worker(Manager *m, int code, const char *text)
{
        if (m->failure_code == 0) {
                m->failure_code = code > 0 ? code : EIO;
                err_set(&m->failure, m->failure_code, "%s", text);
        }
}

static void watch_take_violation(Manager *m, const char *text)
{
        Err err;

        err_set(&err, EPROTO, "the worker broke the rules (%s) and was ended", text);
        watch_fail_worker(m, ECHILD, err.text);
        worker_kill(&m->worker);
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

static void watch_take_fault(Manager *m, const MessageFault *f)
{
        static const char *const operations[] = { "read", "write", "flush", "request" };
        int64_t now = watch_now_ms();

        m->fault_count += f->count;
        if (m->fault_ms && now - m->fault_ms < WATCH_FAULT_MS)
                return;
        errno = f->code;
        log_line(LOG_LEVEL_ERROR,
                 "%s: %s of %" PRIu64 " bytes at %" PRIu64 ": %m (%" PRIu64 " failed so far)",
                 m->image.layers[0].path, operations[f->is_write < 3 ? f->is_write : 3], f->len,
                 f->off, m->fault_count);
        m->fault_ms = now;
}

/* Is this the time for such a message? */
static bool watch_may_say(const Manager *m, uint32_t kind)
{
        switch (kind) {
        case MESSAGE_OPEN:
        case MESSAGE_SEALED:
                return m->stage == STAGE_OPENING;
        case MESSAGE_FAILED:
                return m->stage < STAGE_SERVING;
        case MESSAGE_SERVING:
                return m->stage == STAGE_STARTING;
        case MESSAGE_FAULT:
                return m->stage == STAGE_SERVING;
        case MESSAGE_DONE:
                return m->stage == STAGE_STARTING || m->stage == STAGE_SERVING;
        default:
                return false;
        }
}

static void watch_take_message(Manager *m, const Message *message)
{
        if (!watch_may_say(m, message->kind)) {
                watch_take_violation(m, message->kind == MESSAGE_OPEN
                                                ? "it asked for a file after it had said that it "
                                                  "needed none"
                                                : "a message at the wrong time");
                return;
        }
        switch (message->kind) {
        case MESSAGE_OPEN:
                watch_take_open(m, &message->open);
                break;
        case MESSAGE_SEALED:
                m->sealed = message->sealed;
                m->stage = STAGE_SEALED;
                break;
        case MESSAGE_FAILED:
                watch_fail_worker(m, message->error.code, message->error.text);
                break;
        case MESSAGE_SERVING:
                m->stage = STAGE_SERVING;
                break;
        case MESSAGE_FAULT:
                watch_take_fault(m, &message->fault);
                break;
        default:
                m->done = message->done;
                m->stage = STAGE_DONE;
                break;
        }
}

/* Takes one message; false: no more will come. */
static bool watch_take_packet(Manager *m)
{
        Message message;
        _cleanup_close_ int fd = -1;
        Err err = { "" };

        int r = channel_receive(m->worker.channel, &message, &fd, &err);
        if (r > 0) {
                watch_take_message(m, &message);
                return true;
        }
        if (r < 0)
                watch_take_violation(m, err.text);
        return false;
}

static void watch_close_channel(Manager *m)
{
        cleanup_close(&m->worker.channel);
        m->worker.channel = -1;
}

/* What it said last may be waiting still. */
static void watch_take_end(Manager *m)
{
        struct pollfd p = { .fd = m->worker.channel, .events = POLLIN };

        while (p.fd >= 0 && poll(&p, 1, 0) > 0 && watch_take_packet(m))
                ;
        watch_close_channel(m);

        Err err;
        int r = worker_reap(&m->worker, &err);
        /* One that has told of a failure ends with a status other than 0, which says nothing new. */
        if (m->stage != STAGE_DONE || (r < 0 && m->done.code == 0))
                watch_fail_worker(m, ECHILD, err.text);
        m->worker_gone = true;
}

static void watch_take_signal(Manager *m)
{
        struct signalfd_siginfo s;

        if (read(m->signals, &s, sizeof(s)) != sizeof(s))
                return;
        if (s.ssi_signo == SIGTERM || s.ssi_signo == SIGINT)
                m->stop_asked++;
        else if (s.ssi_signo == SIGHUP)
                log_line(LOG_LEVEL_NOTICE, "%s: SIGHUP is ignored: there is nothing to reload",
                         m->config->path);
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
        };

        int n = poll(p, 4, timeout_ms);
        if (n < 0 && errno != EINTR)
                return -errno;
        if (n <= 0)
                return 0;
        if (p[0].revents)
                watch_take_signal(m);
        if (p[1].revents && !watch_take_packet(m))
                watch_close_channel(m);
        if (p[2].revents)
                watch_take_end(m);
        return p[3].revents != 0;
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
