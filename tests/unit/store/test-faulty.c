/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/faulty.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static Store *open_faulty(FaultPlan *plan)
{
        Store *inner = NULL, *s = NULL;
        assert_int_equal(mem_store_new("0123456789", 10, &inner), 0);
        assert_int_equal(faulty_store_new(inner, plan, &s), 0);
        return s;
}

/* Ten operations; a bit is set for each that failed with `code`. */
static unsigned run_all(Store *s, int code)
{
        char buf[4];
        uint64_t size;
        StoreRun run;
        StoreStat stat;
        const int results[] = {
                store_read(s, buf, 4, 0),
                store_write(s, buf, 4, 0),
                store_get_size(s, &size),
                store_set_size(s, 10),
                store_sync(s),
                store_punch(s, 0, 1),
                store_allocate(s, 0, 1),
                store_get_stat(s, &stat),
                store_read_padded(s, buf, 4, 8),
                s->ops->find_run(s, 0, &run),
        };
        unsigned failed = 0;
        for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
                assert_true(results[i] == 0 || results[i] == -code);
                failed |= results[i] == 0 ? 0 : 1U << i;
        }
        return failed;
}

static void test_counts_without_failing(void **state)
{
        FaultPlan plan = { 0 };
        _cleanup_store_ Store *s = open_faulty(&plan);

        assert_int_equal(run_all(s, EIO), 0);
        assert_int_equal(atomic_load(&plan.count), 10);
}

static void test_each_operation_can_be_the_one(void **state)
{
        for (unsigned i = 0; i < 10; i++) {
                FaultPlan plan = { .fail_at = i + 1, .code = ENOSPC };
                _cleanup_store_ Store *s = open_faulty(&plan);
                assert_int_equal(run_all(s, ENOSPC), 1U << i);
        }
}

static void test_a_failure_may_stay(void **state)
{
        FaultPlan plan = { .fail_at = 4, .code = EIO, .stays = true };
        _cleanup_store_ Store *s = open_faulty(&plan);
        assert_int_equal(run_all(s, EIO), 0x3f8);
}

static void test_stores_share_a_plan(void **state)
{
        FaultPlan plan = { .fail_at = 2, .code = EIO };
        _cleanup_store_ Store *a = open_faulty(&plan);
        _cleanup_store_ Store *b = open_faulty(&plan);
        char buf[1];

        assert_int_equal(store_read(a, buf, 1, 0), 0);
        assert_int_equal(store_read(b, buf, 1, 0), -EIO);
        assert_int_equal(store_read(a, buf, 1, 0), 0);
}

/* Only writing, growing and reserving take space: the second and the seventh of the ten. */
static void test_a_full_host(void **state)
{
        FaultPlan plan = { .fail_at = 1, .code = ENOSPC, .stays = true, .full = true };
        _cleanup_store_ Store *s = open_faulty(&plan);

        assert_int_equal(run_all(s, ENOSPC), 1 << 1 | 1 << 6);
        assert_int_equal(atomic_load(&plan.count), 2);
        assert_int_equal(store_set_size(s, 11), -ENOSPC);
        assert_int_equal(store_set_size(s, 9), 0);
        assert_int_equal(store_zero(s, 0, 1), -ENOSPC);
        atomic_store(&plan.fail_at, 0);
        assert_int_equal(run_all(s, ENOSPC), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_counts_without_failing),
                cmocka_unit_test(test_each_operation_can_be_the_one),
                cmocka_unit_test(test_a_failure_may_stay),
                cmocka_unit_test(test_stores_share_a_plan),
                cmocka_unit_test(test_a_full_host),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
