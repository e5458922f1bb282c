/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/patched.h"

#include "base/cleanup.h"
#include "store/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
        LEN = 64,
        MORE = 96, /* as long as patches make it */
};

static void test_shows_and_changes_nothing(void **state)
{
        _cleanup_store_ Store *inner = NULL, *s = NULL;
        char buf[12];
        uint64_t size = 0;
        StoreRun run;

        assert_int_equal(mem_store_new("0123456789", 10, &inner), 0);
        assert_int_equal(patched_store_new(inner, &s), 0);
        assert_int_equal(patched_store_put(s, "ab", 2, 2), 0);
        assert_int_equal(patched_store_put(s, NULL, 2, 6), 0);
        patched_store_extend(s, 12);

        assert_int_equal(store_read(s, buf, 12, 0), 0);
        assert_memory_equal(buf,
                            "01ab45\0\0"
                            "89\0",
                            12);
        assert_int_equal(store_read(s, buf, 1, 12), -ENODATA);
        assert_int_equal(store_get_size(s, &size), 0);
        assert_int_equal(size, 12);
        assert_int_equal(store_find_run(s, 0, &run), 0);
        assert_false(run.is_hole);
        assert_int_equal(run.end, 2);
        assert_int_equal(store_find_run(s, 6, &run), 0);
        assert_true(run.is_hole);
        assert_int_equal(run.end, 8);
        assert_int_equal(store_write(s, "x", 1, 0), -EBADF);
        assert_int_equal(store_set_size(s, 1), -EBADF);

        assert_int_equal(store_read(inner, buf, 10, 0), 0);
        assert_memory_equal(buf, "0123456789", 10);
}

static void test_applies(void **state)
{
        _cleanup_store_ Store *inner = NULL, *s = NULL;
        char buf[12];
        uint64_t size = 0;

        assert_int_equal(mem_store_new("0123456789", 10, &inner), 0);
        assert_int_equal(patched_store_new(inner, &s), 0);
        assert_int_equal(patched_store_put(s, "ab", 2, 2), 0);
        assert_int_equal(patched_store_put(s, NULL, 2, 6), 0);
        patched_store_extend(s, 12);
        assert_int_equal(patched_store_apply(s, NULL, NULL), 0);

        assert_int_equal(store_get_size(inner, &size), 0);
        assert_int_equal(size, 12);
        assert_int_equal(store_read(inner, buf, 12, 0), 0);
        assert_memory_equal(buf,
                            "01ab45\0\0"
                            "89\0",
                            12);
}

/* Patches of all lengths over each other, against plain bytes. */
static void test_the_last_counts(void **state)
{
        unsigned seed = 1;

        for (int round = 0; round < 200; round++) {
                _cleanup_store_ Store *inner = NULL, *s = NULL;
                uint8_t model[MORE] = { 0 }, buf[MORE];
                memset(model, 'm', LEN);
                assert_int_equal(mem_store_new(model, LEN, &inner), 0);
                assert_int_equal(patched_store_new(inner, &s), 0);
                patched_store_extend(s, MORE);
                for (int i = 0; i < 30; i++) {
                        uint8_t bytes[MORE];
                        size_t pos = (size_t)rand_r(&seed) % MORE;
                        size_t len = (size_t)rand_r(&seed) % (MORE - pos + 1) / (size_t)(1 + i % 4);
                        bool zero = rand_r(&seed) % 3 == 0;
                        memset(bytes, zero ? 0 : 'A' + i, sizeof(bytes));
                        memcpy(model + pos, bytes, len);
                        assert_int_equal(patched_store_put(s, zero ? NULL : bytes, len, pos), 0);
                        assert_int_equal(store_read(s, buf, MORE, 0), 0);
                        assert_memory_equal(buf, model, MORE);
                }
                assert_int_equal(patched_store_apply(s, NULL, NULL), 0);
                assert_int_equal(store_read(inner, buf, MORE, 0), 0);
                assert_memory_equal(buf, model, MORE);
        }
}

static void test_is_bounded(void **state)
{
        _cleanup_store_ Store *inner = NULL, *s = NULL;
        int r = 0;

        assert_int_equal(mem_store_new("", 0, &inner), 0);
        assert_int_equal(patched_store_new(inner, &s), 0);
        for (uint64_t i = 0; i < PATCHED_MAX && r == 0; i++)
                r = patched_store_put(s, NULL, 1, 2 * i);
        assert_int_equal(r, -EFBIG);
        assert_int_equal(patched_store_put(s, NULL, UINT64_MAX, 2), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_shows_and_changes_nothing),
                cmocka_unit_test(test_applies),
                cmocka_unit_test(test_the_last_counts),
                cmocka_unit_test(test_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
