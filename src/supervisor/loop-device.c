/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/loop-device.h"

#include "base/log.h"
#include "ipc/channel.h"
#include "supervisor/notify.h"
#include "supervisor/privileges.h"
#include "supervisor/status.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        /* udev has a limit of its own, which is shorter. */
        DEVICE_START_MS = 60 * 1000,
        DEVICE_STEP_MS = 5 * 1000,
};

int loop_device_check(const Config *c, bool adopted, Err *err)
{
        if (!c->loop)
                return 0;
        if (adopted)
                return err_set(err, EINVAL, "Loop=yes (--loop) needs a mount point that is a file");
        if (geteuid() != 0)
                return err_set(err, EPERM,
                               "only root can attach a loop device (Loop=yes, --loop); without it, "
                               "'udisksctl loop-setup --file VIEW' attaches one to the view");
        return 0;
}

static int device_wait(Manager *m, Err *err)
{
        int64_t end = watch_now_ms() + DEVICE_START_MS;
        int r = 0;

        while (r == 0 && watch_now_ms() < end) {
                notify_ask_for_time(2 * DEVICE_STEP_MS);
                r = watch_step(m, m->loop.channel, DEVICE_STEP_MS);
                if (m->stop_asked)
                        return err_set(err, ECANCELED, "stopped before the view was up");
                if (m->failure_code != 0)
                        return err_set(err, m->failure_code, "%s", m->failure.text);
                if (m->worker_gone)
                        return err_set(err, EIO, "the view ended before its loop device was there");
        }
        if (r < 0)
                return err_set(err, -r, "cannot wait: %m");
        return r > 0 ? 0 : err_set(err, ETIMEDOUT, "no loop device: the view does not answer it");
}

/* A worker that does not hear it has the view say something old, and no harm done. */
static void device_tell_worker(Manager *m, int number)
{
        Message message = { .kind = MESSAGE_LOOP, .loop.number = number };

        if (m->worker.channel >= 0)
                (void)channel_send(m->worker.channel, &message, -1, NULL);
}

int loop_device_start(Manager *m, Err *err)
{
        LoopOrder order = {
                .folder = m->target.parent,
                .name = m->target.name,
                .writable = m->config->writable,
                /* Where the kernel reads the image's file by itself, that file's file system may have no direct I/O, or only in
                 * larger sectors, and nobody between could help. */
                .direct = m->backing_id == 0,
                .sector_size = m->sealed.sector_size,
        };
        char node[32];

        if (!m->config->loop)
                return 0;
        notify_status("", "Attaching a loop device to %s", m->target.path);
        int r = loop_holder_start(&order, &m->loop, err);
        if (r >= 0)
                r = privileges_reduce(PRIVILEGES_SEALED, m->options->pid_file, err);
        if (r >= 0)
                r = device_wait(m, err);
        if (r >= 0)
                r = loop_holder_take_report(&m->loop, err);
        if (r < 0)
                return r;
        device_tell_worker(m, (int)m->loop.report.number);
        loop_holder_get_node(&m->loop, 0, node);
        log_line(LOG_LEVEL_INFO, "%s: is %s, with %u partitions", m->target.path, node,
                 m->loop.report.partition_count);
        if (m->loop.report.late)
                log_line(LOG_LEVEL_WARNING,
                         "%s: udev has not done with %s in time; links in /dev/disk come later",
                         m->target.path, node);
        return 0;
}

int loop_device_fd(const Manager *m)
{
        return m->loop.is_up ? m->loop.pidfd : -1;
}

/* `rawview umount` asks with SIGTERM. */
static void device_log_end(Manager *m, const char *node, int status)
{
        m->loop_lost = !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM;
        if (!m->loop_lost)
                log_line(LOG_LEVEL_NOTICE, "%s: has no loop device any more: %s was let go of",
                         m->target.path, node);
        else
                event_log(EVENT_LOOP_LOST, &m->subject, 0,
                          "%s: its loop device %s is lost: the process that held it %s %d; the "
                          "view goes on without",
                          m->target.path, node,
                          WIFSIGNALED(status) ? "was killed by signal" : "ended with status",
                          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void loop_device_take_end(Manager *m)
{
        char node[32] = "";

        loop_holder_get_node(&m->loop, 0, node);
        device_log_end(m, node, loop_holder_take_end(&m->loop));
        device_tell_worker(m, m->loop_lost ? MESSAGE_LOOP_LOST : MESSAGE_LOOP_NONE);
        /* Before the view is announced there is nothing to correct. */
        if (m->status[0])
                status_update(m);
}

void loop_device_release(Manager *m, int limit_ms)
{
        int64_t end = watch_now_ms() + limit_ms;

        if (m->loop.pid <= 0)
                return;
        loop_holder_release(&m->loop);
        while (m->failure_code == 0 && !m->worker_gone && m->stop_asked < 2 &&
               watch_now_ms() < end) {
                notify_ask_for_time(2 * DEVICE_STEP_MS);
                if (watch_step(m, m->loop.pidfd, DEVICE_STEP_MS) != 0)
                        break;
        }
        loop_holder_done(&m->loop);
}
