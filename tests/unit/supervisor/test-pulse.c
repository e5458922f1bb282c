/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/pulse.h"

#include "service-manager.h"
#include "supervisor/manager.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <poll.h>

/* In the place of the look at a view: what it comes to, and what it was asked for. */
static int look_result;
static LookAnswer look_answer;
static LookDepth look_depth;
static unsigned look_count;

static int look_pretend(const void *name, int folder, void *result)
{
        if (look_result == -ETIMEDOUT)
                for (;;)
                        pause();
        memcpy(result, &look_answer, sizeof(look_answer));
        return look_result;
}

int __wrap_look_start(int parent, const char *name, LookDepth depth, Attempt *ret);

int __wrap_look_start(int parent, const char *name, LookDepth depth, Attempt *ret)
{
        look_depth = depth;
        look_count++;
        return attempt_start(look_pretend, name, -1, sizeof(LookAnswer), ret);
}

typedef struct Rig {
        Config config;
        char path[16], mount_point[16];
        Manager m;
        int notify;
        int64_t now;
} Rig;

static void rig_start(Rig *rig, const char *watchdog_usec)
{
        *rig = (Rig){ .path = "/vm/a.raw", .mount_point = "/mp", .now = 1000000 };
        rig->m.config = &rig->config;
        rig->m.image.layers[0].path = rig->path;
        rig->m.target.path = rig->mount_point;
        rig->notify = manager_listen();
        look_result = 0;
        look_count = 0;
        look_answer = (LookAnswer){ .use = "readers=0 writers=0 errors=0 pids=" };
        unsetenv("WATCHDOG_USEC");
        if (watchdog_usec)
                setenv("WATCHDOG_USEC", watchdog_usec, 1);
        pulse_begin(&rig->m);
        rig->m.pulse.next_ms = rig->now;
        status_ready(&rig->m);
        expect_heard(rig->notify, "READY=1\nSTATUS=a.raw (, 0B, read-only) as /mp");
}

static void rig_end(Rig *rig)
{
        pulse_end(&rig->m);
        assert_int_equal(pulse_fd(&rig->m.pulse), -1);
        manager_close(rig->notify);
}

/* One look from its beginning to its answer. */
static void rig_look(Rig *rig)
{
        pulse_step(&rig->m, rig->now);
        struct pollfd p = { .fd = pulse_fd(&rig->m.pulse), .events = POLLIN };
        assert_true(p.fd >= 0);
        assert_int_equal(poll(&p, 1, 20000), 1);
        pulse_step(&rig->m, rig->now);
        assert_int_equal(pulse_fd(&rig->m.pulse), -1);
}

static void test_the_watchdog_hears_of_answers_only(void **state)
{
        Rig rig;

        rig_start(&rig, "8000000");
        rig_look(&rig);
        assert_int_equal(look_depth, LOOK_READ);
        expect_heard(rig.notify, "WATCHDOG=1");
        expect_silence(rig.notify);

        /* Four looks in its time, and none before it is due. */
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now, -1), 2000);
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now, 300), 300);
        pulse_step(&rig.m, rig.now + 1999);
        assert_int_equal(look_count, 1);

        rig.now += 2000;
        look_result = -ENOTCONN;
        rig_look(&rig);
        expect_silence(rig.notify);
        rig_end(&rig);
}

static void test_no_second_look_while_one_has_no_answer(void **state)
{
        Rig rig;

        rig_start(&rig, "8000000");
        look_result = -ETIMEDOUT;
        pulse_step(&rig.m, rig.now);
        assert_int_equal(look_count, 1);
        assert_false(pulse_is_overdue(&rig.m.pulse, rig.now + 3000));
        for (int i = 0; i < 10; i++)
                pulse_step(&rig.m, rig.now + i * 1000);
        assert_int_equal(look_count, 1);
        expect_silence(rig.notify);
        assert_true(pulse_is_overdue(&rig.m.pulse, rig.now + 6000));
        assert_int_equal(pulse_silence_ms(&rig.m.pulse, rig.now + 9000), 9000);
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now + 50000, -1), 10000);

        pulse_step(&rig.m, rig.now + 60000);
        expect_heard(rig.notify, "STATUS=a.raw (, 0B, read-only) as /mp; does not answer");
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now + 60000, -1), -1);
        rig_end(&rig);
}

static void test_without_a_watchdog_there_is_a_status(void **state)
{
        Rig rig;

        rig_start(&rig, NULL);
        rig_look(&rig);
        expect_silence(rig.notify);
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now, -1), PULSE_INTERVAL_MS);
        rig.now += PULSE_INTERVAL_MS;
        strcpy(look_answer.use, "readers=2 writers=0 errors=1 pids=");
        rig_look(&rig);
        expect_heard(
                rig.notify,
                "STATUS=a.raw (, 0B, read-only) as /mp; 2 readers; 1 I/O error, see the journal");

        /* What makes no sense changes nothing. */
        rig.now += PULSE_INTERVAL_MS;
        strcpy(look_answer.use, "readers=many");
        rig_look(&rig);
        expect_silence(rig.notify);
        assert_false(pulse_is_overdue(&rig.m.pulse, rig.now + 1000000));
        rig_end(&rig);
}

static void test_a_block_that_cannot_be_read_is_left_alone(void **state)
{
        Rig rig;

        rig_start(&rig, "8000000");
        look_answer.unreadable = true;
        rig_look(&rig);
        expect_heard(rig.notify, "WATCHDOG=1");
        rig.now += 2000;
        rig_look(&rig);
        assert_int_equal(look_depth, LOOK_ASK);
        expect_heard(rig.notify, "WATCHDOG=1");
        rig_end(&rig);
}

static void test_at_the_end_it_is_not_opened(void **state)
{
        Rig rig;

        rig_start(&rig, "800");
        assert_int_equal(rig.m.pulse.interval_ms, 100);
        pulse_prepare_end(&rig.m);
        rig_look(&rig);
        assert_int_equal(look_depth, LOOK_ASK);
        expect_silence(rig.notify);
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now, -1), PULSE_ENDING_MS);
        pulse_end(&rig.m);
        pulse_step(&rig.m, rig.now + 100000);
        assert_int_equal(look_count, 1);
        assert_int_equal(pulse_limit(&rig.m.pulse, rig.now, -1), -1);
        rig_end(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_watchdog_hears_of_answers_only),
                cmocka_unit_test(test_no_second_look_while_one_has_no_answer),
                cmocka_unit_test(test_without_a_watchdog_there_is_a_status),
                cmocka_unit_test(test_a_block_that_cannot_be_read_is_left_alone),
                cmocka_unit_test(test_at_the_end_it_is_not_opened),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
