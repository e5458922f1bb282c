/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/stop.h"

#include "base/log.h"
#include "base/loops.h"
#include "ipc/channel.h"
#include "supervisor/look.h"
#include "supervisor/loop-device.h"
#include "supervisor/notify.h"
#include "supervisor/status.h"
#include "supervisor/users.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum {
        /* Bringing things to disk takes as long as it takes, but not for ever. */
        STOP_FLUSH_MS = 10 * 60 * 1000,
        /* A worker that says nothing for so long, not even what attributes the view has, brings nothing to disk. */
        STOP_SILENT_MS = 2 * 60 * 1000,
        /* What file systems and devices on the view have in memory. */
        STOP_SYNC_MS = 30 * 1000,
        /* So often the service manager hears that we are still at it; all in all for so long: each wait has a limit of its
         * own, and this is more than their sum. */
        STOP_SAY_MS = 5 * 1000,
        STOP_TOTAL_MS = 23 * 60 * 1000,
        STOP_BUSY_MS = 3 * 1000,
        STOP_RETRY_MS = 100,
        /* At a shutdown file systems on loop devices are unmounted beside us. */
        STOP_MOUNTED_MS = 30 * 1000,
        STOP_MOUNTED_RETRY_MS = 500,
        STOP_HOLDERS_MS = 5 * 1000,
        /* A connection that lives on after its mount is gone. */
        STOP_ELSEWHERE_MS = 2 * 1000,
        /* For a worker that has nothing to wait for. */
        STOP_ABORTED_MS = 30 * 1000,
        STOP_FORCED_MS = 5 * 1000,
        STOP_URGENT_MS = 1000,
};

/* Who uses the view, as it was found last. */
typedef struct StopUsers {
        Loops loops;
        char text[USERS_TEXT_MAX];
} StopUsers;

static void stop_ask_for_time(Manager *m)
{
        int64_t now = watch_now_ms();

        if (now >= m->stop_end_ms || now < m->stop_said_ms + STOP_SAY_MS / 2)
                return;
        m->stop_said_ms = now;
        notify_ask_for_time(3 * STOP_SAY_MS);
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
                stop_ask_for_time(m);
                r = watch_step(m, -1, left < STOP_SAY_MS ? (int)left : STOP_SAY_MS);
                left = unchanged_extend(m, end, limit_ms) - watch_now_ms();
        }
        return r < 0 ? r : watch_worker_end(m, STOP_URGENT_MS);
}

static bool stop_is_silent(const Manager *m)
{
        return pulse_silence_ms(&m->pulse, watch_now_ms()) >= STOP_SILENT_MS;
}

/* Lets a child do its work for at most so long: what it returned, or -ETIMEDOUT. */
static int stop_attend(Manager *m, Attempt *a, int limit_ms)
{
        int64_t end = watch_now_ms() + limit_ms;
        int r = 0;

        while (r == 0 && !m->worker_gone && m->failure_code == 0 && !stop_is_urgent(m) &&
               !stop_is_silent(m) && watch_now_ms() < end) {
                stop_ask_for_time(m);
                r = watch_step(m, a->pidfd, STOP_SAY_MS);
        }
        return attempt_finish(a, 0, NULL);
}

/* A worker that does not take the message has others come in for some seconds more, and no harm done. */
static void stop_refuse_opening(Manager *m, pid_t exempt)
{
        Message message = { .kind = MESSAGE_ENDING, .ending.exempt_pid = exempt };

        if (m->worker.channel >= 0)
                (void)channel_send(m->worker.channel, &message, -1, NULL);
}

/* What has been written to devices on the view, and to file systems on these, becomes writes to the view. */
static void stop_sync_devices(Manager *m, const StopUsers *users)
{
        Attempt a;

        if (users->loops.count == 0 || look_start_sync(&a) < 0)
                return;
        status_ending(m, "Writing to %s, and before that what %s holds", status_image_name(m),
                      users->text);
        (void)stop_attend(m, &a, STOP_SYNC_MS);
}

/* Whatever programs have written is with the worker afterwards, and on disk as far as it could be. Somebody may be
 * writing all the while: what this flush misses is brought to disk by the worker, when nobody can write any more. */
static int stop_flush(Manager *m, const StopUsers *users, Err *err)
{
        Attempt a;

        stop_refuse_opening(m, 0);
        if (!m->config->writable || m->target.parent < 0)
                return 0;
        status_ending(m, "Writing to %s", status_image_name(m));
        stop_sync_devices(m, users);
        int r = look_start_flush(m->target.parent, m->target.name, &a);
        if (r < 0)
                return err_set(err, -r, "cannot flush the view: %m");
        stop_refuse_opening(m, a.pid);
        status_ending(m, "Writing to %s", status_image_name(m));
        r = stop_attend(m, &a, STOP_FLUSH_MS);
        /* Somebody has unmounted it: the worker flushes when it sees that. */
        if (r == -ENOTCONN || r == -ENOENT || m->worker_gone)
                return 0;
        return r < 0 ? err_set(err, -r, "cannot flush the view: %m") : 0;
}

static void stop_find_users(const Manager *m, StopUsers *ret)
{
        _cleanup_mount_table_ MountTable table = { 0 };

        (void)mount_table_read(&table, NULL);
        loops_find("/sys/block", &table, m->target.path, &ret->loops);
        users_format(&m->pulse.use, &ret->loops, ret->text);
}

static void stop_tell_users(Manager *m, const StopUsers *users)
{
        if (users->text[0])
                status_ending(m, "Waiting for %s to let go of %s", users->text, m->target.path);
        else
                status_ending(m, "Waiting for those who have %s open", m->target.path);
}

/* 0: the mount is gone. -EBUSY: somebody has the view open, and goes on having it. */
static int stop_try_unmount(Manager *m, StopUsers *users, Err *err)
{
        int64_t begin = watch_now_ms();
        bool patient = false;

        for (;;) {
                int r = mount_end(&m->mount, &m->target, false, err);
                if (r >= 0)
                        return 0;
                stop_find_users(m, users);
                if (users_have_mount(&users->loops) && !patient) {
                        log_line(LOG_LEVEL_NOTICE,
                                 "%s: is in use by %s; that has %d seconds to be unmounted",
                                 m->target.path, users->text, STOP_MOUNTED_MS / 1000);
                        patient = true;
                }
                int64_t waited = watch_now_ms() - begin;
                bool used = users_have_mount(&users->loops);
                if (r != -EBUSY || m->worker_gone || stop_is_urgent(m) || stop_is_silent(m) ||
                    waited >= (used ? STOP_MOUNTED_MS : STOP_BUSY_MS))
                        return r;
                stop_ask_for_time(m);
                stop_tell_users(m, users);
                (void)watch_worker_end(m, waited < STOP_BUSY_MS ? STOP_RETRY_MS
                                                                : STOP_MOUNTED_RETRY_MS);
        }
}

/* Ends the connection under those who still have the view open; who has a file in the kernel's hands open keeps that. Where the kernel offers no way to, the worker does:
 * it ends when we have nothing more to say to it. */
static void stop_cut_off(Manager *m, const char *where)
{
        log_line(LOG_LEVEL_NOTICE, "%s: is still %s; %s", m->target.path, where,
                 m->backing_id > 0 ? "who has it open goes on with the image itself, which stays "
                                     "locked until it is let go of"
                                   : "it is cut off now");
        if (mount_abort(&m->mount) < 0 && m->worker.channel >= 0)
                shutdown(m->worker.channel, SHUT_WR);
}

/* What the worker does when nobody can ask it for anything any more. */
static void stop_tell_closing(Manager *m)
{
        status_ending(m, "%s %s", m->config->writable ? "Writing to" : "Closing",
                      status_image_name(m));
}

static int stop_detach(Manager *m, const StopUsers *users)
{
        Err err = { "" };

        log_line(LOG_LEVEL_NOTICE,
                 "%s: is in use; it is unmounted now, and who has it open is served for %d "
                 "seconds%s%s",
                 m->target.path, STOP_HOLDERS_MS / 1000, users->text[0] ? ": " : "", users->text);
        stop_ask_for_time(m);
        pulse_end(m);
        int r = mount_end(&m->mount, &m->target, true, &err);
        if (r < 0)
                log_line(LOG_LEVEL_WARNING, "%s: cannot be unmounted: %s", m->target.path,
                         err.text);
        if (stop_wait(m, STOP_HOLDERS_MS) == 0)
                return 0;
        stop_cut_off(m, "open somewhere");
        stop_tell_closing(m);
        return stop_wait(m, STOP_ABORTED_MS);
}

/* The worker sees that the file system is gone, flushes what it has and ends. One that has nothing to flush, or could
 * not when it was asked to, gets no time for it. */
static int stop_wait_for_flush(Manager *m, bool may_flush)
{
        int r = stop_wait(m, STOP_ELSEWHERE_MS);

        if (r != -ETIMEDOUT)
                return r;
        /* A mount namespace that was made with a copy of the mount keeps it, and we cannot reach it there. */
        if (mount_is_connected(&m->mount))
                stop_cut_off(m, "mounted in another mount namespace");
        return stop_wait(m, may_flush ? STOP_FLUSH_MS : STOP_ABORTED_MS);
}

/* Somebody else's mount stays where it is. The worker ends when we have nothing more to say to it. */
static void stop_leave_mount(Manager *m)
{
        log_line(LOG_LEVEL_NOTICE, "%s: whoever has mounted it must unmount it: it is dead now",
                 m->target.path);
        if (m->worker.channel >= 0)
                shutdown(m->worker.channel, SHUT_WR);
}

void stop_by_force(Manager *m)
{
        pulse_end(m);
        worker_kill(&m->worker);
        (void)mount_abort(&m->mount);
        (void)watch_worker_end(m, STOP_FORCED_MS);
        mount_close(&m->mount);
}

static int stop_give_up(Manager *m, const char *text, Err *err)
{
        watch_fail(m, ETIMEDOUT, text);
        stop_by_force(m);
        return err_set(err, ETIMEDOUT, "%s", m->failure.text);
}

static int stop_in_order(Manager *m, Err *err)
{
        Err ignored = { "" };
        StopUsers users;

        loop_device_release(m, STOP_FLUSH_MS);
        stop_find_users(m, &users);
        int flushed = stop_flush(m, &users, err);
        if (stop_is_silent(m))
                return stop_give_up(m, "the view did not answer any more; its worker was killed",
                                    err);
        bool may_flush = m->config->writable && flushed >= 0;
        status_ending(m, "Unmounting %s", m->target.path);
        if (m->mount.adopted)
                stop_leave_mount(m);
        int r = stop_try_unmount(m, &users, &ignored);
        if (r >= 0) {
                pulse_end(m);
                stop_tell_closing(m);
        }
        r = r < 0 ? stop_detach(m, &users) : stop_wait_for_flush(m, may_flush);
        if (r < 0)
                return stop_give_up(m, "the worker did not end and was killed", err);
        return flushed;
}

int stop_view(Manager *m, Err *err)
{
        int64_t now = watch_now_ms();

        if (pulse_is_overdue(&m->pulse, now)) {
                status_ending(m, "Ending the worker of %s, which does not answer",
                              status_image_name(m));
                return stop_give_up(m, "the view did not answer any more; its worker was killed",
                                    err);
        }
        status_ending(m, "Stopping %s", status_image_name(m));
        m->stop_end_ms = now + STOP_TOTAL_MS;
        pulse_prepare_end(m);
        int r = stop_in_order(m, err);
        /* The image is synced once more by us, which finds nothing to do where all went well. */
        notify_ask_for_time(STOP_SYNC_MS);
        return r;
}
