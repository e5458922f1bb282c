/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static Store *open_mem(const char *text)
{
        Store *s = NULL;
        assert_int_equal(mem_store_new(text, strlen(text), &s), 0);
        return s;
}

static void test_behaves_like_a_file(void **state)
{
        _cleanup_store_ Store *s = open_mem("0123456789");
        uint64_t size = 0;
        char buf[8];

        assert_int_equal(store_read(s, buf, 8, 2), 0);
        assert_memory_equal(buf, "23456789", 8);
        assert_int_equal(store_read(s, buf, 8, 3), -ENODATA);
        assert_int_equal(store_read_padded(s, buf, 8, 8), 0);
        assert_memory_equal(buf, "89\0\0\0\0\0\0", 8);
        assert_int_equal(store_write(s, "xy", 2, 20), 0);
        assert_int_equal(store_get_size(s, &size), 0);
        assert_int_equal(size, 22);
        assert_int_equal(store_read(s, buf, 8, 14), 0);
        assert_memory_equal(buf, "\0\0\0\0\0\0xy", 8);
        assert_int_equal(store_write(s, "x", 1, MEM_STORE_MAX), -ENOSPC);
        assert_int_equal(store_write(s, "xy", 2, UINT64_MAX), -EFBIG);
        assert_int_equal(store_sync(s), 0);
}

static void test_shrinking_forgets(void **state)
{
        _cleanup_store_ Store *s = open_mem("0123456789");
        char buf[10];

        assert_int_equal(store_set_size(s, 4), 0);
        assert_int_equal(store_set_size(s, 10), 0);
        assert_int_equal(store_read(s, buf, 10, 0), 0);
        assert_memory_equal(buf, "0123\0\0\0\0\0\0", 10);
}

static void test_zero_pages_are_holes(void **state)
{
        _cleanup_store_ Store *s = NULL;
        StoreRun run;
        StoreStat stat;

        assert_int_equal(mem_store_new(NULL, 4 * MEM_STORE_PAGE, &s), 0);
        assert_int_equal(store_write(s, "x", 1, MEM_STORE_PAGE + 7), 0);
        assert_int_equal(store_find_run(s, 5, &run), 0);
        assert_true(run.is_hole);
        assert_int_equal(run.end, MEM_STORE_PAGE);
        assert_int_equal(store_find_run(s, MEM_STORE_PAGE, &run), 0);
        assert_false(run.is_hole);
        assert_int_equal(run.end, 2 * MEM_STORE_PAGE);
        assert_int_equal(store_get_stat(s, &stat), 0);
        assert_int_equal(stat.allocated, MEM_STORE_PAGE);
        assert_int_equal(store_punch(s, MEM_STORE_PAGE, 8), 0);
        assert_int_equal(store_find_run(s, 0, &run), 0);
        assert_int_equal(run.end, 4 * MEM_STORE_PAGE);
}

static void test_a_poor_host_cannot_punch(void **state)
{
        _cleanup_store_ Store *s = open_mem("0123456789");
        char buf[4];

        mem_store_make_poor(s);
        assert_int_equal(store_punch(s, 0, 4), -EOPNOTSUPP);
        assert_int_equal(store_allocate(s, 0, 4), -EOPNOTSUPP);
        /* Zeroing is written instead. */
        assert_int_equal(store_zero(s, 1, 2), 0);
        assert_int_equal(store_read(s, buf, 4, 0), 0);
        assert_memory_equal(buf, "0\0\0003", 4);
}

static void test_identities_differ_unless_set(void **state)
{
        _cleanup_store_ Store *a = open_mem("a");
        _cleanup_store_ Store *b = open_mem("b");
        StoreStat a_stat, b_stat;

        assert_int_equal(store_get_stat(a, &a_stat), 0);
        assert_int_equal(store_get_stat(b, &b_stat), 0);
        assert_true(a_stat.inode != b_stat.inode);
        mem_store_set_inode(a, 7);
        mem_store_set_inode(b, 7);
        assert_int_equal(store_get_stat(a, &a_stat), 0);
        assert_int_equal(store_get_stat(b, &b_stat), 0);
        assert_true(a_stat.inode == b_stat.inode && a_stat.device == b_stat.device);
}

static void test_a_copy_goes_its_own_way(void **state)
{
        _cleanup_store_ Store *s = open_mem("0123");
        _cleanup_store_ Store *copy = NULL;
        uint64_t size = 0;
        char buf[4];

        assert_int_equal(mem_store_copy(s, &copy), 0);
        assert_int_equal(store_write(s, "x", 1, 0), 0);
        assert_int_equal(store_get_size(copy, &size), 0);
        assert_int_equal(size, 4);
        assert_int_equal(store_read(copy, buf, 4, 0), 0);
        assert_memory_equal(buf, "0123", 4);
}

static void test_a_full_host_and_one_with_room_again(void **state)
{
        _cleanup_store_ Store *s = open_mem("0123");
        char buf[8];

        mem_store_set_limit(s, 6);
        assert_int_equal(store_write(s, "ab", 2, 4), 0);
        assert_int_equal(store_write(s, "c", 1, 6), -ENOSPC);
        assert_int_equal(store_write(s, "cd", 2, 5), -ENOSPC);
        assert_int_equal(store_set_size(s, 7), -ENOSPC);
        assert_int_equal(store_write(s, "x", 1, 0), 0);
        /* What is there stays, even beyond. */
        mem_store_set_limit(s, 2);
        assert_int_equal(store_write(s, "y", 1, 5), 0);
        mem_store_set_limit(s, 8);
        assert_int_equal(store_write(s, "cd", 2, 6), 0);
        assert_int_equal(store_read(s, buf, 8, 0), 0);
        assert_memory_equal(buf, "x123aycd", 8);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_behaves_like_a_file),
                cmocka_unit_test(test_shrinking_forgets),
                cmocka_unit_test(test_zero_pages_are_holes),
                cmocka_unit_test(test_a_poor_host_cannot_punch),
                cmocka_unit_test(test_a_copy_goes_its_own_way),
                cmocka_unit_test(test_a_full_host_and_one_with_room_again),
                cmocka_unit_test(test_identities_differ_unless_set),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
