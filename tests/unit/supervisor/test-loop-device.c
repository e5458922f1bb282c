/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When there is a loop device and when none, and what its end is called, with a child and a worker that do what a test says. */
#include "supervisor/loop-device.h"

#include "base/cleanup.h"
#include "ipc/channel.h"
#include "service-manager.h"
#include "supervisor/privileges.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

/* What happens in the steps of the watch, one after the other; behind the last one nothing does. */
typedef enum Step {
        STEP_NOTHING,
        STEP_READABLE, /* what is waited for */
        STEP_STOP,
        STEP_FAILURE,
        STEP_WORKER_GONE,
        STEP_BROKEN, /* the watch itself */
} Step;

static struct {
        uid_t user;
        int64_t now;
        const Step *steps;
        int start, report; /* what these return; 0 or -EIO */
        LoopOrder order;
        PrivilegeStage reduced;
        unsigned released, done;
        int waited_for;
} world;

static char heard[1024];

uid_t __wrap_geteuid(void);
int64_t __wrap_watch_now_ms(void);
int __wrap_watch_step(Manager *m, int extra_fd, int timeout_ms);
int __wrap_loop_holder_start(const LoopOrder *order, LoopHolder *ret, Err *err);
int __wrap_loop_holder_take_report(LoopHolder *h, Err *err);
int __wrap_loop_holder_take_end(LoopHolder *h);
void __wrap_loop_holder_release(LoopHolder *h);
void __wrap_loop_holder_done(LoopHolder *h);
int __wrap_privileges_reduce(PrivilegeStage to, const char *pid_file, Err *err);
void __wrap_event_log(Event event, const EventSubject *subject, int code, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
void __wrap_log_line(LogLevel level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

uid_t __wrap_geteuid(void)
{
        return world.user;
}

int64_t __wrap_watch_now_ms(void)
{
        return world.now;
}

int __wrap_watch_step(Manager *m, int extra_fd, int timeout_ms)
{
        Step step = *world.steps;

        world.waited_for = extra_fd;
        if (step != STEP_NOTHING)
                world.steps++;
        switch (step) {
        case STEP_NOTHING:
                world.now += timeout_ms;
                return 0;
        case STEP_STOP:
                m->stop_asked++;
                return 0;
        case STEP_FAILURE:
                m->failure_code = EPROTO;
                err_set(&m->failure, EPROTO, "the worker broke the rules");
                return 0;
        case STEP_WORKER_GONE:
                m->worker_gone = true;
                return 0;
        case STEP_BROKEN:
                return -ENOMEM;
        default:
                return 1;
        }
}

int __wrap_loop_holder_start(const LoopOrder *order, LoopHolder *ret, Err *err)
{
        world.order = *order;
        if (world.start < 0)
                return err_set(err, -world.start, "cannot fork");
        *ret = (LoopHolder){ .pid = 1234, .pidfd = 50, .channel = 51 };
        return 0;
}

int __wrap_loop_holder_take_report(LoopHolder *h, Err *err)
{
        if (world.report < 0)
                return err_set(err, -world.report, "no loop device: /dev/loop9 is broken");
        h->report = (LoopReport){ .number = 9, .late = 1, .partition_count = 2 };
        h->is_up = true;
        return 0;
}

/* The test says how it ended, in the place of the pid. */
int __wrap_loop_holder_take_end(LoopHolder *h)
{
        int status = h->channel;

        *h = LOOP_HOLDER_NONE;
        return status;
}

void __wrap_loop_holder_release(LoopHolder *h)
{
        world.released++;
}

void __wrap_loop_holder_done(LoopHolder *h)
{
        world.done++;
        *h = LOOP_HOLDER_NONE;
}

int __wrap_privileges_reduce(PrivilegeStage to, const char *pid_file, Err *err)
{
        world.reduced = to;
        return 0;
}

__attribute__((format(printf, 2, 0))) static void hear(const char *what,
                                                       const char *fmt,
                                                       va_list args)
{
        size_t used = strlen(heard);

        used += (size_t)snprintf(heard + used, sizeof(heard) - used, "%s", what);
        vsnprintf(heard + used, sizeof(heard) - used, fmt, args);
        strcat(heard, "\n");
}

void __wrap_event_log(Event event, const EventSubject *subject, int code, const char *fmt, ...)
{
        va_list args;

        assert_int_equal(event, EVENT_LOOP_LOST);
        va_start(args, fmt);
        hear("EVENT ", fmt, args);
        va_end(args);
}

void __wrap_log_line(LogLevel level, const char *fmt, ...)
{
        va_list args;

        va_start(args, fmt);
        hear(level == LOG_LEVEL_WARNING  ? "WARNING "
             : level == LOG_LEVEL_NOTICE ? "NOTICE "
                                         : "",
             fmt, args);
        va_end(args);
}

typedef struct Rig {
        Manager m;
        Config config;
        ManagerOptions options;
        int worker_end;
} Rig;

static void rig_start(Rig *rig, const Step *steps)
{
        static char view[] = "/run/web", name[] = "web", image[] = "/vm/web.raw";
        int ends[2];

        *rig = (Rig){ .config = { .loop = true, .writable = true } };
        rig->m = (Manager){ .config = &rig->config,
                            .options = &rig->options,
                            .image.layers[0].path = image,
                            .sealed = { .sector_size = 4096, .size = 512, .format = "raw" },
                            .loop = LOOP_HOLDER_NONE,
                            .target = { .path = view, .name = name, .parent = 77 } };
        assert_int_equal(channel_pair(ends, NULL), 0);
        rig->m.worker.channel = ends[0];
        rig->worker_end = ends[1];
        memset(&world, 0, sizeof(world));
        world.steps = steps;
        heard[0] = '\0';
}

static void rig_end(Rig *rig)
{
        cleanup_close(&rig->m.worker.channel);
        cleanup_close(&rig->worker_end);
}

/* What the worker is told, which says it to who looks at the view. */
static void expect_told(Rig *rig, int number)
{
        Message message;

        assert_int_equal(channel_receive(rig->worker_end, &message, NULL, NULL), 1);
        assert_int_equal(message.kind, MESSAGE_LOOP);
        assert_int_equal(message.loop.number, number);
}

static void test_who_can_have_one(void **state)
{
        Config config = { .loop = false };
        Err err = { "" };

        world.user = 1000;
        assert_int_equal(loop_device_check(&config, true, &err), 0);
        config.loop = true;
        assert_int_equal(loop_device_check(&config, false, &err), -EPERM);
        assert_non_null(strstr(err.text, "only root can attach a loop device"));
        assert_non_null(strstr(err.text, "udisksctl loop-setup"));
        world.user = 0;
        assert_int_equal(loop_device_check(&config, false, &err), 0);
        assert_int_equal(loop_device_check(&config, true, &err), -EINVAL);
        assert_non_null(strstr(err.text, "needs a mount point that is a file"));
}

static void test_what_is_ordered(void **state)
{
        static const Step steps[] = { STEP_READABLE, STEP_NOTHING };
        Err err = { "" };
        Rig rig;

        rig_start(&rig, steps);
        rig.config.loop = false;
        assert_int_equal(loop_device_start(&rig.m, &err), 0);
        assert_int_equal(rig.m.loop.pid, -1);
        rig.config.loop = true;
        assert_int_equal(loop_device_fd(&rig.m), -1);
        assert_int_equal(loop_device_start(&rig.m, &err), 0);
        assert_int_equal(world.order.folder, 77);
        assert_string_equal(world.order.name, "web");
        assert_true(world.order.writable && world.order.direct);
        assert_int_equal(world.order.sector_size, 4096);
        assert_int_equal(world.reduced, PRIVILEGES_SEALED);
        assert_int_equal(world.waited_for, 51);
        expect_told(&rig, 9);
        assert_string_equal(heard, "/run/web: is /dev/loop9, with 2 partitions\n"
                                   "WARNING /run/web: udev has not done with /dev/loop9 in time; "
                                   "links in /dev/disk come later\n");
        assert_int_equal(loop_device_fd(&rig.m), 50);
        rig_end(&rig);

        /* What the kernel reads from the image's file by itself. */
        rig_start(&rig, steps);
        rig.m.backing_id = 1;
        rig.config.writable = false;
        assert_int_equal(loop_device_start(&rig.m, &err), 0);
        assert_false(world.order.direct || world.order.writable);
        rig_end(&rig);
}

static void test_why_there_is_none(void **state)
{
        static const struct {
                Step steps[3];
                int start, report, code;
                const char *text;
        } cases[] = {
                { { STEP_NOTHING }, -EAGAIN, 0, EAGAIN, "cannot fork" },
                { { STEP_READABLE }, 0, -EBADF, EBADF, "no loop device: /dev/loop9 is broken" },
                { { STEP_STOP }, 0, 0, ECANCELED, "stopped before the view was up" },
                { { STEP_FAILURE }, 0, 0, EPROTO, "the worker broke the rules" },
                { { STEP_WORKER_GONE },
                  0,
                  0,
                  EIO,
                  "the view ended before its loop device was there" },
                { { STEP_BROKEN }, 0, 0, ENOMEM, "cannot wait: Cannot allocate memory" },
                { { STEP_NOTHING },
                  0,
                  0,
                  ETIMEDOUT,
                  "no loop device: the view does not answer it" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err = { "" };
                Rig rig;

                rig_start(&rig, cases[i].steps);
                world.start = cases[i].start;
                world.report = cases[i].report;
                assert_int_equal(loop_device_start(&rig.m, &err), -cases[i].code);
                assert_string_equal(err.text, cases[i].text);
                assert_int_equal(loop_device_fd(&rig.m), -1);
                rig_end(&rig);
        }
}

/* The view goes on in each of these cases. */
static void test_what_its_end_is_called(void **state)
{
        static const struct {
                int status, told;
                const char *heard, *status_end;
        } cases[] = {
                { SIGKILL, MESSAGE_LOOP_LOST,
                  "EVENT /run/web: its loop device /dev/loop9 is lost: the process that held it was "
                  "killed by signal 9; the view goes on without\n",
                  "; its loop device is lost, see the journal" },
                { 1 << 8, MESSAGE_LOOP_LOST,
                  "EVENT /run/web: its loop device /dev/loop9 is lost: the process that held it "
                  "ended with status 1; the view goes on without\n",
                  "; its loop device is lost, see the journal" },
                { SIGTERM, MESSAGE_LOOP_NONE,
                  "NOTICE /run/web: has no loop device any more: /dev/loop9 was let go of\n", "" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char status[256];
                Rig rig;

                rig_start(&rig, (const Step[]){ STEP_NOTHING });
                rig.m.loop = (LoopHolder){ .pid = 1234,
                                           .pidfd = 50,
                                           .channel = cases[i].status,
                                           .report.number = 9,
                                           .is_up = true };
                int s = manager_listen();
                snprintf(rig.m.status, sizeof(rig.m.status), "as it was");
                loop_device_take_end(&rig.m);
                snprintf(status, sizeof(status),
                         "STATUS=web.raw (raw, 512B, writable) as /run/web%s", cases[i].status_end);
                expect_heard(s, status);
                manager_close(s);
                assert_string_equal(heard, cases[i].heard);
                expect_told(&rig, cases[i].told);
                assert_int_equal(rig.m.loop_lost, cases[i].told == MESSAGE_LOOP_LOST);
                assert_int_equal(rig.m.failure_code, 0);
                assert_int_equal(rig.m.stop_asked, 0);
                assert_int_equal(loop_device_fd(&rig.m), -1);
                rig_end(&rig);
        }
}

static void test_how_long_it_is_waited_for(void **state)
{
        static const struct {
                Step steps[3];
                int64_t waited;
        } cases[] = {
                { { STEP_READABLE }, 0 },
                { { STEP_NOTHING }, 60000 },
                /* Who asks once for the end of the view gets all that was written to the device. */
                { { STEP_STOP, STEP_NOTHING }, 60000 },
                { { STEP_STOP, STEP_STOP }, 0 },
                { { STEP_WORKER_GONE }, 0 },
                { { STEP_FAILURE }, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Rig rig;

                rig_start(&rig, cases[i].steps);
                loop_device_release(&rig.m, 60000);
                assert_int_equal(world.released + world.done, 0);
                rig.m.loop = (LoopHolder){ .pid = 1234, .pidfd = 50, .channel = 51, .is_up = true };
                loop_device_release(&rig.m, 60000);
                assert_int_equal(world.released, 1);
                assert_int_equal(world.done, 1);
                assert_int_equal(world.waited_for, 50);
                assert_int_equal(world.now, cases[i].waited);
                rig_end(&rig);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_can_have_one),
                cmocka_unit_test(test_what_is_ordered),
                cmocka_unit_test(test_why_there_is_none),
                cmocka_unit_test(test_what_its_end_is_called),
                cmocka_unit_test(test_how_long_it_is_waited_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
