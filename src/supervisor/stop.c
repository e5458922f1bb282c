/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/stop.h"

#include "base/log.h"
#include "supervisor/look.h"
#include "supervisor/notify.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

enum {
        /* Bringing things to disk takes as long as it takes, but not for ever. */
        STOP_FLUSH_MS = 10 * 60 * 1000,
        /* So often the service manager hears that we are still at it. */
        STOP_SAY_MS = 5 * 1000,
        STOP_BUSY_MS = 3 * 1000,
        STOP_RETRY_MS = 100,
        STOP_HOLDERS_MS = 5 * 1000,
        /* For a worker that has nothing to wait for. */
        STOP_ABORTED_MS = 30 * 1000,
        STOP_FORCED_MS = 5 * 1000,
        STOP_URGENT_MS = 1000,
};

static void stop_ask_for_time(void)
{
        sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%d", 2 * STOP_SAY_MS * 1000);
}

/* Who asks twice does not want to wait for a worker that may hang. */
static bool stop_is_urgent(const Manager *m)
{
        return m->stop_asked > 1;
}

/* Until the worker is gone: 0, or -ETIMEDOUT. */
static int stop_wait(Manager *m, int limit_ms)
{
        int64_t end = watch_now_ms() + limit_ms;
        int64_t left = limit_ms;
        int r = 0;

        while (r >= 0 && left > 0 && !m->worker_gone && m->failure_code == 0 &&
               !stop_is_urgent(m)) {
                stop_ask_for_time();
                r = watch_step(m, -1, left < STOP_SAY_MS ? (int)left : STOP_SAY_MS);
                left = end - watch_now_ms();
        }
        return r < 0 ? r : watch_worker_end(m, STOP_URGENT_MS);
}

/* Whatever programs have written is with the worker afterwards, and on disk as far as it could be. */
static int stop_flush(Manager *m, Err *err)
{
        int64_t end = watch_now_ms() + STOP_FLUSH_MS;
        Attempt a;

        if (!m->config->writable)
                return 0;
        int r = look_start_flush(m->target.parent, m->target.name, &a);
        if (r < 0)
                return err_set(err, -r, "cannot flush the view: %m");
        do {
                stop_ask_for_time();
                r = watch_step(m, a.pidfd, STOP_SAY_MS);
        } while (r == 0 && !m->worker_gone && m->failure_code == 0 && !stop_is_urgent(m) &&
                 watch_now_ms() < end);

        r = attempt_finish(&a, 0, NULL);
        /* Somebody has unmounted it: the worker flushes when it sees that. */
        if (r == -ENOTCONN || r == -ENOENT || m->worker_gone)
                return 0;
        return r < 0 ? err_set(err, -r, "cannot flush the view: %m") : 0;
}

/* 0: the mount is gone. -EBUSY: somebody has the view open, and goes on having it. */
static int stop_try_unmount(Manager *m, Err *err)
{
        int64_t end = watch_now_ms() + STOP_BUSY_MS;

        for (;;) {
                int r = mount_end(&m->mount, &m->target, false, err);
                if (r >= 0)
                        return 0;
                if (r != -EBUSY || watch_now_ms() >= end || m->worker_gone || stop_is_urgent(m))
                        return r;
                (void)watch_worker_end(m, STOP_RETRY_MS);
        }
}

/* Ends the connection under those who still have the view open. Where the kernel offers no way to, the worker does:
 * it ends when we have nothing more to say to it. */
static void stop_cut_off(Manager *m)
{
        log_line(LOG_LEVEL_NOTICE, "%s: is still open somewhere; it is cut off now",
                 m->target.path);
        if (mount_abort(&m->mount) < 0 && m->worker.channel >= 0)
                shutdown(m->worker.channel, SHUT_WR);
}

static int stop_detach(Manager *m)
{
        Err err = { "" };

        log_line(LOG_LEVEL_NOTICE,
                 "%s: is in use; it is unmounted now, and who has it open is served for %d seconds",
                 m->target.path, STOP_HOLDERS_MS / 1000);
        stop_ask_for_time();
        int r = mount_end(&m->mount, &m->target, true, &err);
        if (r < 0)
                log_line(LOG_LEVEL_WARNING, "%s: cannot be unmounted: %s", m->target.path,
                         err.text);
        if (stop_wait(m, STOP_HOLDERS_MS) == 0)
                return 0;
        stop_cut_off(m);
        return stop_wait(m, STOP_ABORTED_MS);
}

/* The worker sees that the file system is gone, flushes what it has and ends. One that has nothing to flush, or could
 * not when it was asked to, gets no time for it. */
static int stop_wait_for_flush(Manager *m, bool may_flush)
{
        return stop_wait(m, may_flush ? STOP_FLUSH_MS : STOP_ABORTED_MS);
}

void stop_by_force(Manager *m)
{
        worker_kill(&m->worker);
        (void)mount_abort(&m->mount);
        (void)watch_worker_end(m, STOP_FORCED_MS);
        mount_close(&m->mount);
}

int stop_view(Manager *m, Err *err)
{
        Err ignored = { "" };

        notify_status("STOPPING=1", "Unmounting");
        int flushed = stop_flush(m, err);
        bool may_flush = m->config->writable && flushed >= 0;
        int r = stop_try_unmount(m, &ignored) < 0 ? stop_detach(m)
                                                  : stop_wait_for_flush(m, may_flush);
        if (r < 0) {
                watch_fail(m, ETIMEDOUT, "the worker did not end and was killed");
                stop_by_force(m);
                return err_set(err, ETIMEDOUT, "%s", m->failure.text);
        }
        return flushed;
}
