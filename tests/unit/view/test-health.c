/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/health.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static const Fault read_fault = { .code = EIO, .op = HEALTH_READ, .off = 4096, .len = 512 };
static const Fault write_fault = { .code = ENOSPC, .op = HEALTH_WRITE, .off = 8192, .len = 1 };

static void test_requests_and_bytes_are_counted(void **state)
{
        Health h;
        HealthCounts counts;

        assert_int_equal(health_init(&h, -1), 0);
        health_count_read(&h, 100);
        health_count_read(&h, 28);
        health_count_write(&h, 512);
        health_get_counts(&h, &counts);
        assert_int_equal(counts.reads, 2);
        assert_int_equal(counts.bytes_read, 128);
        assert_int_equal(counts.writes, 1);
        assert_int_equal(counts.bytes_written, 512);
        assert_int_equal(counts.errors, 0);
        assert_int_equal(counts.first.code, 0);
        health_done(&h);
}

static void test_the_first_fault_of_all_is_kept(void **state)
{
        Health h;
        HealthCounts counts;

        assert_int_equal(health_init(&h, -1), 0);
        health_fault(&h, &read_fault);
        health_fault(&h, &write_fault);
        health_get_counts(&h, &counts);
        assert_int_equal(counts.errors, 2);
        assert_int_equal(counts.first.code, EIO);
        assert_int_equal(counts.first.off, 4096);
        health_done(&h);
}

static void test_one_report_a_minute(void **state)
{
        Health h;
        Fault fault;
        uint64_t count;

        assert_int_equal(health_init(&h, -1), 0);
        assert_int_equal(health_take_report(&h, 1000, &fault, &count), -1);

        health_fault(&h, &read_fault);
        assert_int_equal(health_take_report(&h, 1000, &fault, &count), 0);
        assert_int_equal(fault.code, EIO);
        assert_int_equal(count, 1);
        assert_int_equal(health_take_report(&h, 1000, &fault, &count), -1);

        /* The next ones wait until the minute is over, and the first of them is the one reported. */
        health_fault(&h, &write_fault);
        health_fault(&h, &read_fault);
        health_fault(&h, &read_fault);
        assert_int_equal(health_take_report(&h, 1000, &fault, &count), 60);
        assert_int_equal(health_take_report(&h, 1059, &fault, &count), 1);
        assert_int_equal(health_take_report(&h, 1060, &fault, &count), 0);
        assert_int_equal(fault.code, ENOSPC);
        assert_int_equal(fault.op, HEALTH_WRITE);
        assert_int_equal(count, 3);
        assert_int_equal(health_take_report(&h, 1060, &fault, &count), -1);
        health_done(&h);
}

static void test_the_reporter_is_woken_once(void **state)
{
        int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        uint64_t woken = 0, count;
        Fault fault;
        Health h;

        assert_true(wake_fd >= 0);
        assert_int_equal(health_init(&h, wake_fd), 0);
        for (int i = 0; i < 3; i++)
                health_fault(&h, &read_fault);
        assert_int_equal(read(wake_fd, &woken, sizeof(woken)), sizeof(woken));
        assert_int_equal(woken, 1);

        assert_int_equal(health_take_report(&h, 5, &fault, &count), 0);
        health_fault(&h, &read_fault);
        assert_int_equal(read(wake_fd, &woken, sizeof(woken)), sizeof(woken));
        health_done(&h);
        close(wake_fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests_and_bytes_are_counted),
                cmocka_unit_test(test_the_first_fault_of_all_is_kept),
                cmocka_unit_test(test_one_report_a_minute),
                cmocka_unit_test(test_the_reporter_is_woken_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
