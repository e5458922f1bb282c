/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/range-lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Other {
        RangeLock *lock;
        uint64_t off, len;
        atomic_bool has_it;
} Other;

static void *other_take(void *arg)
{
        Other *o = arg;
        RangeLockEntry entry;
        range_lock_take(o->lock, &entry, o->off, o->len);
        atomic_store(&o->has_it, true);
        range_lock_give(o->lock, &entry);
        return NULL;
}

static void test_only_what_overlaps_waits(void **state)
{
        static const struct {
                uint64_t off, len;
                bool waits;
        } cases[] = {
                { 0, 4096, false },          { 8192, 4096, false },
                { 4096, 4096, true },        { 4095, 2, true },
                { 8191, 1, true },           { 0, UINT64_MAX, true },
                { 8192, UINT64_MAX, false }, { 5000, 0, false },
                { UINT64_MAX, 1, false },    { UINT64_MAX, UINT64_MAX, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                RangeLock lock;
                RangeLockEntry entry;
                Other o = { .lock = &lock, .off = cases[i].off, .len = cases[i].len };
                pthread_t thread;

                assert_int_equal(range_lock_init(&lock), 0);
                range_lock_take(&lock, &entry, 4096, 4096);
                assert_int_equal(pthread_create(&thread, NULL, other_take, &o), 0);
                if (cases[i].waits) {
                        usleep(20000);
                        assert_false(atomic_load(&o.has_it));
                        range_lock_give(&lock, &entry);
                        pthread_join(thread, NULL);
                } else {
                        pthread_join(thread, NULL);
                        range_lock_give(&lock, &entry);
                }
                assert_true(atomic_load(&o.has_it));
                assert_null(lock.held);
                range_lock_done(&lock);
        }
}

static void test_given_back_in_any_order(void **state)
{
        RangeLock lock;
        RangeLockEntry a, b, c;

        assert_int_equal(range_lock_init(&lock), 0);
        range_lock_take(&lock, &a, 0, 1);
        range_lock_take(&lock, &b, 1, 1);
        range_lock_take(&lock, &c, 2, 1);
        range_lock_give(&lock, &b);
        range_lock_take(&lock, &b, 1, 1);
        range_lock_give(&lock, &a);
        range_lock_give(&lock, &c);
        range_lock_give(&lock, &b);
        assert_null(lock.held);
        range_lock_done(&lock);
}

enum {
        THREADS = 8,
        ROUNDS = 500,
        CELLS = 6,
};

typedef struct Field {
        RangeLock lock;
        int cells[CELLS]; /* each guarded by its range of the lock alone: TSan watches */
        atomic_bool broken;
} Field;

static void *field_run(void *arg)
{
        Field *f = arg;
        for (unsigned i = 0; i < ROUNDS; i++) {
                RangeLockEntry entry;
                unsigned first = (i * 7 + (unsigned)(uintptr_t)&entry / 4096) % CELLS;
                unsigned count = 1 + i % (CELLS - first);
                range_lock_take(&f->lock, &entry, first, count);
                for (unsigned k = first; k < first + count; k++)
                        if (f->cells[k]++ != 0)
                                atomic_store(&f->broken, true);
                for (unsigned k = first; k < first + count; k++)
                        f->cells[k]--;
                range_lock_give(&f->lock, &entry);
        }
        return NULL;
}

static void test_many_threads(void **state)
{
        Field f = { 0 };
        pthread_t threads[THREADS];

        assert_int_equal(range_lock_init(&f.lock), 0);
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, field_run, &f), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_false(atomic_load(&f.broken));
        range_lock_done(&f.lock);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_what_overlaps_waits),
                cmocka_unit_test(test_given_back_in_any_order),
                cmocka_unit_test(test_many_threads),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
