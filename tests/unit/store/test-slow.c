/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/mem.h"
#include "store/slow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static double now(void)
{
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_does_all_and_takes_its_time(void **state)
{
        Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        uint64_t size = 0;
        StoreRun run;
        StoreStat stat;
        char buf[10];

        assert_int_equal(mem_store_new("0123456789", 10, &inner), 0);
        assert_int_equal(slow_store_new(inner, 2000, &s), 0);

        double began = now();
        for (int i = 0; i < 10; i++)
                assert_int_equal(store_write(s, "x", 1, (uint64_t)i), 0);
        assert_int_equal(store_read(s, buf, 10, 0), 0);
        assert_memory_equal(buf, "xxxxxxxxxx", 10);
        /* 22 waits of 1 ms on average; 22 of none are beyond belief. */
        assert_true(now() - began > 0.002);

        assert_int_equal(store_punch(s, 0, 2), 0);
        assert_int_equal(store_zero(s, 2, 2), 0);
        assert_int_equal(store_allocate(s, 0, 10), 0);
        assert_int_equal(store_set_size(s, 6), 0);
        assert_int_equal(store_sync(s), 0);
        assert_int_equal(store_get_size(s, &size), 0);
        assert_int_equal(size, 6);
        assert_int_equal(store_find_run(s, 0, &run), 0);
        assert_int_equal(run.end, 6);
        assert_int_equal(store_get_stat(s, &stat), 0);
        assert_int_equal(store_read(s, buf, 6, 0), 0);
        assert_memory_equal(buf, "\0\0\0\0xx", 6);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_does_all_and_takes_its_time),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
