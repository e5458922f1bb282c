/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/manager.h"

#include "base/barrier.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory-trim.h"
#include "base/size.h"
#include "broker/user.h"
#include "ipc/channel.h"
#include "supervisor/adopt.h"
#include "supervisor/confined.h"
#include "supervisor/image.h"
#include "supervisor/look.h"
#include "supervisor/loop-device.h"
#include "supervisor/notify.h"
#include "supervisor/passthrough.h"
#include "supervisor/privileges.h"
#include "supervisor/ready.h"
#include "supervisor/reload.h"
#include "supervisor/stop.h"
#include "supervisor/terminal.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>

enum {
        MANAGER_LOOK_MS = 30 * 1000,
        /* To start some threads. */
        MANAGER_SERVING_MS = 30 * 1000,
        /* Opening takes as long as it takes: an image may be repaired, a disk slow. After this we say so. */
        MANAGER_PATIENCE_MS = 10 * 1000,
        /* So long the service manager is asked for time, so often: a repair reads all tables of an image. */
        MANAGER_OPENING_MS = 10 * 60 * 1000,
        MANAGER_SAY_MS = 5 * 1000,
};

static int manager_catch(const int *caught, size_t count, int *ret, Err *err)
{
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < count; i++)
                sigaddset(&set, caught[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return err_set(err, errno, "cannot block signals: %m");
        *ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return *ret < 0 ? err_set(err, errno, "cannot make a signalfd: %m") : 0;
}

static int manager_catch_signals(Manager *m, Err *err)
{
        static const int ending[] = { SIGTERM, SIGINT }, hangup[] = { SIGHUP };

        signal(SIGPIPE, SIG_IGN);
        int r = manager_catch(ending, 2, &m->signals, err);
        return r < 0 ? r : manager_catch(hangup, 1, &m->hangups, err);
}

static int manager_open_files(Manager *m, Err *err)
{
        const Config *c = m->config;

        m->phase = PHASE_TARGET;
        int r = loop_device_check(c, m->options->fuse_fd >= 0, err);
        if (r < 0)
                return err_prefix(err, r, "%s", c->path);
        r = m->options->fuse_fd < 0
                    ? (c->partitions ? target_open_folder : target_open)(
                              c->mount_point, m->options->rule, &m->target, err)
                    : adopt_connection(m->options->fuse_fd, &m->target, &m->mount, err);
        if (r < 0)
                return err_prefix(err, r, "%s", c->mount_point);
        m->subject.mount_point = m->target.path;
        m->phase = PHASE_IMAGE;
        r = image_open(c, m->options->rule, &m->image, err);
        if (r < 0)
                return err_prefix(err, r, "%s", c->path);
        m->subject.image = m->image.layers[0].path;
        r = overlay_open(c, m->options->rule, &m->image, &m->overlay, err);
        return r < 0 ? err_prefix(err, r, "%s", c->path) : 0;
}

static int manager_wait(Manager *m, Stage stage, int limit_ms)
{
        int64_t end = watch_now_ms() + limit_ms;

        while (m->stage < stage && m->failure_code == 0 && !m->worker_gone && !m->stop_asked) {
                int64_t left = end - watch_now_ms();
                if (limit_ms >= 0 && left <= 0)
                        return -ETIMEDOUT;
                int r = watch_step(m, -1, limit_ms >= 0 ? (int)left : -1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Until the worker has come so far; fails when it cannot, or when we are told to stop. */
static int manager_wait_for(Manager *m, Stage stage, int limit_ms, Err *err)
{
        int r = manager_wait(m, stage, limit_ms);
        if (r == -ETIMEDOUT)
                return r;
        if (r < 0)
                return err_set(err, -r, "cannot wait: %m");
        if (m->stop_asked && m->stage < stage)
                return err_set(err, ECANCELED, "stopped before the view was up");
        if (m->failure_code != 0)
                return err_set(err, m->failure_code, "%s", m->failure.text);
        if (m->stage == STAGE_DONE && stage != STAGE_DONE)
                return err_set(err, EIO, "the view ended before it was up%s%s",
                               m->done.text[0] ? ": " : "", m->done.text);
        return 0;
}

/* Who sees the line at the terminal, or the status, knows already. */
static void manager_say_still_opening(Manager *m)
{
        const Progressing *p = &m->progressing;

        if (p->line.is_drawn)
                return;
        if (p->said_ms > 0) {
                log_line(LOG_LEVEL_NOTICE, "%s: is still being opened (%s, %u%%)", m->config->path,
                         p->pass == MESSAGE_PASS_REPAIRING ? "repairing" : "checking", p->percent);
                return;
        }
        log_line(LOG_LEVEL_NOTICE, "%s: is still being opened", m->config->path);
        notify_status("", "%s is still being opened: a slow disk, or a repair", m->config->path);
}

/* Until when to wait for a worker that comes farther. */
static int64_t manager_extend_opening(const Manager *m, int64_t end_ms)
{
        int64_t said = m->progressing.said_ms;

        end_ms = unchanged_extend(m, end_ms, MANAGER_OPENING_MS);
        return said > 0 && said + MANAGER_OPENING_MS > end_ms ? said + MANAGER_OPENING_MS : end_ms;
}

static int manager_wait_until_open(Manager *m, Err *err)
{
        int r = manager_wait_for(m, STAGE_SEALED, MANAGER_PATIENCE_MS, err);
        if (r != -ETIMEDOUT)
                return r;
        /* That a passphrase is awaited has been said. */
        if (!m->unlock.is_asking && m->unchanged.said_ms == 0)
                manager_say_still_opening(m);
        int64_t end = watch_now_ms() + MANAGER_OPENING_MS;
        while (watch_now_ms() < manager_extend_opening(m, end)) {
                notify_ask_for_time(2 * MANAGER_SAY_MS);
                r = manager_wait_for(m, STAGE_SEALED, MANAGER_SAY_MS, err);
                if (r != -ETIMEDOUT)
                        return r;
        }
        return manager_wait_for(m, STAGE_SEALED, -1, err);
}

static int manager_open_image(Manager *m, Err *err)
{
        const Config *c = m->config;
        Message message = { .kind = MESSAGE_IMAGE };

        m->phase = PHASE_SERVE;
        notify_status("", "Opening %s", c->path);
        int r = worker_spawn(c->writable, &m->worker, err);
        if (r >= 0)
                r = privileges_reduce(PRIVILEGES_SPAWNED, NULL, err);
        if (r < 0)
                return r;
        m->phase = PHASE_OPEN;
        MessageImage *image = &message.image;
        snprintf(image->path, sizeof(image->path), "%s", m->image.layers[0].path);
        snprintf(image->format, sizeof(image->format), "%s", c->format ? c->format : "auto");
        snprintf(image->snapshot, sizeof(image->snapshot), "%s", c->snapshot ? c->snapshot : "");
        snprintf(image->partition, sizeof(image->partition), "%s",
                 c->partition ? c->partition : "");
        image->partitions = c->partitions;
        image->writable = c->writable;
        image->growable = c->growable;
        image->sector_size = config_get_sector_size(c);
        image->loop = c->loop;
        image->offset = c->offset;
        image->size = c->size;
        image->has_overlay = c->overlay != NULL;
        image->layer = c->layer_number;
        image->layer_alone = c->layer_alone;
        image->assert_unchanged = c->assert_unchanged;
        image->cache_size = c->cache_size;
        image->switch_user = broker_find_user(&image->uid, &image->gid);
        image->require_sandbox = m->options->require_sandbox;
        image->core_dumps = m->options->core_dumps;
        r = channel_send(m->worker.channel, &message, m->image.layers[0].fd, err);
        if (r >= 0 && c->overlay) {
                r = overlay_describe(&m->overlay, c, &m->image, &message, err);
                if (r >= 0)
                        r = channel_send(m->worker.channel, &message, m->overlay.fd, err);
        }
        progressing_begin(m);
        if (r >= 0)
                r = manager_wait_until_open(m, err);
        progressing_wipe(m);
        if (r >= 0)
                r = overlay_publish(&m->overlay, err);
        return r;
}

static int manager_mount(Manager *m, Err *err)
{
        int plain = passthrough_choose(m);

        m->phase = PHASE_MOUNT;
        int r = m->mount.adopted ? 0
                                 : mount_view(&m->target, m->config, m->image.layers[0].path,
                                              &m->mount, err);
        if (r >= 0)
                r = init_exchange(m->mount.fuse_fd,
                                  plain < 0 ? INIT_WITHOUT_PASSTHROUGH : INIT_WITH_PASSTHROUGH,
                                  &m->init, err);
        if (r < 0)
                return err_prefix(err, r, "%s", m->target.path);
        if (init_has_passthrough(&m->init))
                m->backing_id = passthrough_open(&m->mount, plain);
        return 0;
}

void manager_get_owner(const Config *c, uint32_t *ret_uid, uint32_t *ret_gid)
{
        *ret_uid = c->has_owner ? c->owner : geteuid();
        *ret_gid = c->has_group ? c->group : getegid();
}

static int manager_start_serving(Manager *m, Err *err)
{
        const Config *c = m->config;
        Message message = { .kind = MESSAGE_SERVE };
        MessageServe *serve = &message.serve;

        m->phase = PHASE_SERVE;
        serve->init_request_len = (uint32_t)m->init.request_len;
        serve->init_answer_len = (uint32_t)m->init.answer_len;
        memcpy(serve->init_request, m->init.request, sizeof(serve->init_request));
        memcpy(serve->init_answer, m->init.answer, sizeof(serve->init_answer));
        manager_get_owner(c, &serve->uid, &serve->gid);
        serve->mode = c->mode;
        serve->allow_other = m->mount.allow_other;
        serve->supervisor_pid = getpid();
        serve->backing_id = m->backing_id;
        ready_get_unit(serve->unit, sizeof(serve->unit));

        m->stage = STAGE_STARTING;
        int r = channel_send(m->worker.channel, &message, m->mount.fuse_fd, err);
        if (r < 0)
                return r;
        r = manager_wait_for(m, STAGE_SERVING, MANAGER_SERVING_MS, err);
        return r == -ETIMEDOUT ? err_set(err, -r, "the worker does not begin to serve") : r;
}

/* A view that others cannot open and measure is not up, whatever the worker says. One whose mount we do not know is
 * believed. */
static int manager_look(Manager *m, Err *err)
{
        int64_t end = watch_now_ms() + MANAGER_LOOK_MS;
        LookResult look = { 0 };
        Attempt a;

        if (m->target.parent < 0)
                return 0;
        int r = look_start_first(m->target.parent, m->target.name, &a);
        if (r < 0)
                return err_set(err, -r, "cannot look at the view: %m");
        for (int64_t left = MANAGER_LOOK_MS; r == 0 && left > 0; left = end - watch_now_ms()) {
                r = watch_step(m, a.pidfd, (int)left);
                if (m->worker_gone || m->stop_asked || m->failure_code != 0)
                        break;
        }

        r = attempt_finish(&a, 0, &look);
        if (m->stop_asked)
                return err_set(err, ECANCELED, "stopped before the view was up");
        if (m->failure_code != 0)
                return err_set(err, m->failure_code, "%s", m->failure.text);
        if (r == -ETIMEDOUT)
                return err_set(err, ETIMEDOUT, "the view does not answer");
        if (r < 0)
                return err_set(err, -r, "the view cannot be read: %m");
        if (look.size != m->sealed.size)
                return err_set(err, EIO, "the view has %llu bytes, the disk %llu",
                               (unsigned long long)look.size, (unsigned long long)m->sealed.size);
        return 0;
}

static void manager_log_start(const Manager *m)
{
        const char *path = m->image.layers[0].path;
        char size[SIZE_TEXT_MAX], access[STATUS_ACCESS_MAX];

        event_log(EVENT_READY, &m->subject, 0, "%s: %s, %s, %s, shown as %s", path,
                  m->sealed.format, size_format(m->sealed.size, size), status_access(m, access),
                  m->target.path);
        if (m->backing_id > 0)
                log_line(LOG_LEVEL_DEBUG, "%s: the kernel reads%s the file by itself (passthrough)",
                         path, m->config->writable ? " and writes" : "");
        if (m->sealed.guessed)
                log_line(LOG_LEVEL_NOTICE,
                         "%s: no format was recognised, so it is shown as it is (raw)", path);
        if (m->sealed.table_damaged)
                log_line(
                        LOG_LEVEL_WARNING,
                        "%s: its partition table is damaged; the partition is that of what is left "
                        "of it (rawview partitions says more)",
                        path);
        if (m->mount.allow_other_refused)
                event_log(EVENT_ALLOW_OTHER, &m->subject, 0,
                          "%s: only its owner can use the view, not even root (allow_other was "
                          "refused; see user_allow_other in /etc/fuse.conf)",
                          m->target.path);
}

/* Said before anything else can fail: what is on disk is another image than it was. */
static void manager_log_repair(const Manager *m)
{
        if (m->config->writable && m->sealed.repaired)
                event_log(EVENT_REPAIRED, &m->subject, 0,
                          "%s: was not closed cleanly, and was repaired before anything is written",
                          m->image.layers[m->image.overlay].path);
}

static void manager_log_passphrase(const Manager *m)
{
        if (m->config->key_file && !m->unlock.is_given)
                log_line(LOG_LEVEL_DEBUG, "%s: is not encrypted, and KeyFile= is not needed",
                         m->image.layers[0].path);
}

static void manager_log_sandbox(const Manager *m)
{
        const char *path = m->image.layers[0].path;
        char text[BARRIER_TEXT_MAX];

        log_line(LOG_LEVEL_DEBUG, "%s: around the worker: %s", path,
                 barrier_list(m->sealed.barriers, text));
        if (m->sealed.barriers_lacking != 0)
                log_line(LOG_LEVEL_WARNING, "%s: the kernel does not have for the worker: %s", path,
                         barrier_list(m->sealed.barriers_lacking, text));
        if (m->options->core_dumps)
                log_line(LOG_LEVEL_WARNING,
                         "%s: the worker may leave a core dump (--core-dumps), which holds pieces "
                         "of the image",
                         path);
}

static int manager_start(Manager *m, Err *err)
{
        int r = manager_catch_signals(m, err);
        if (r < 0)
                return r;
        r = manager_open_files(m, err);
        if (r < 0)
                return r;
        r = manager_open_image(m, err);
        if (r < 0)
                return err_prefix(err, r, "%s", m->config->path);
        manager_log_repair(m);
        manager_log_passphrase(m);
        manager_log_sandbox(m);
        r = privileges_reduce(m->config->loop ? PRIVILEGES_LOOP : PRIVILEGES_SEALED,
                              m->options->pid_file, err);
        if (r >= 0)
                r = manager_mount(m, err);
        if (r < 0)
                return r;
        r = manager_start_serving(m, err);
        if (r >= 0)
                r = manager_look(m, err);
        if (r >= 0)
                r = loop_device_start(m, err);
        if (r < 0)
                return err_prefix(err, r, "%s", m->config->path);
        mount_raise_readahead(&m->mount);
        manager_log_start(m);
        r = ready_announce(m, err);
        memory_trim();
        return r;
}

/* What the worker left behind: it has ended, and so has the view. */
static int manager_judge_end(const Manager *m, Err *err)
{
        if (m->failure_code != 0)
                return err_set(err, m->failure_code, "%s", m->failure.text);
        if (m->done.code != 0)
                return err_set(err, m->done.code > 0 ? m->done.code : EIO, "%s", m->done.text);
        return 0;
}

/* A dead mount must not stay, however the worker ended. */
static void manager_unmount(Manager *m)
{
        Err err = { "" };

        if (mount_end(&m->mount, &m->target, true, &err) < 0)
                log_line(LOG_LEVEL_WARNING, "%s: cannot be unmounted: %s", m->target.path,
                         err.text);
}

static int manager_serve(Manager *m, Err *err)
{
        Err flush_err = { "" };
        int flushed = 0, r = 0;

        pulse_begin(m);
        progressing_begin(m);
        while (!m->worker_gone && !m->stop_asked && m->failure_code == 0 && r >= 0)
                if (m->reload_asked)
                        reload_run(m);
                else
                        r = watch_step(m, -1, -1);
        if (r < 0)
                return err_set(err, -r, "cannot wait: %m");
        if (m->failure_code != 0)
                stop_by_force(m);
        else if (!m->worker_gone)
                flushed = stop_view(m, &flush_err);
        pulse_end(m);
        loop_holder_done(&m->loop);
        manager_unmount(m);
        passthrough_close(&m->mount, m->backing_id);

        r = manager_judge_end(m, err);
        if (r >= 0 && flushed < 0)
                r = err_set(err, -flushed, "%s", flush_err.text);
        if (r >= 0)
                r = broker_sync(&m->image, err);
        if (r >= 0) {
                m->phase = PHASE_PROVE;
                r = unchanged_judge(m, err);
        }
        if (r < 0)
                return err_prefix(err, r, "%s", m->config->path);
        event_log(EVENT_STOPPED, &m->subject, 0, "%s: is no longer shown as %s%s",
                  m->image.layers[0].path, m->target.path,
                  m->config->writable ? "; all that was written is on disk" : "");
        return 0;
}

static int manager_fail(const Manager *m, int r, Err *err)
{
        if (r == -ECANCELED && m->stop_asked) {
                log_line(LOG_LEVEL_NOTICE, "%s", err->text);
                return EX_OK;
        }
        confined_explain(CONFINED_FILE, r, err);
        event_log(event_choose(m->phase, -r), &m->subject, -r, "%s", err->text);
        notify_failure(-r, err->text);
        return exit_status(m->phase, -r);
}

/* In this order: the connection goes with the worker, so that nobody waits for one that is killed, not even we when
 * we unmount. */
static void manager_done(Manager *m)
{
        pulse_end(m);
        if (m->worker.pid > 0 && m->mount.fuse_fd >= 0)
                stop_by_force(m);
        loop_holder_done(&m->loop);
        if (m->mount.id != 0)
                manager_unmount(m);
        if (m->options->removes_mount_point && m->mount.id == 0)
                target_remove(&m->target);
        ready_withdraw(m);
        unlock_done(&m->unlock);
        unchanged_done(&m->unchanged);
        progressing_done(&m->progressing);
        worker_done(&m->worker);
        mount_done(&m->mount);
        target_done(&m->target);
        overlay_done(&m->overlay);
        broker_done(&m->image);
        cleanup_close(&m->signals);
        cleanup_close(&m->hangups);
}

int manager_run(Config *c, const ManagerOptions *options)
{
        Manager m = {
                .config = c,
                .options = options,
                .subject = { .image = c->path,
                             .mount_point = c->mount_point,
                             .instance = options->instance },
                .target = TARGET_NONE,
                .overlay = OVERLAY_NONE,
                .worker = WORKER_NONE,
                .mount = MOUNT_NONE,
                .loop = LOOP_HOLDER_NONE,
                .pid_file = PID_FILE_NONE,
                .signals = -1,
                .hangups = -1,
                .waiter = options->ready_fd,
                .terminal = !options->read && !options->background && !options->ignores_hangup &&
                            terminal_is_there(),
        };
        Err err = { "" };

        int r = manager_start(&m, &err);
        if (r >= 0)
                r = manager_serve(&m, &err);
        int status = r < 0 ? manager_fail(&m, r, &err) : EX_OK;
        manager_done(&m);
        return status;
}
