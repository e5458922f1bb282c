/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/node.h"
#include "format/formats.h"
#include "store/faulty.h"
#include "store/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../fd-count.h"

enum {
        KIB = 1024,
};

static Cache *new_cache(void)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(0, &c), 0);
        return c;
}

/* Takes `s`. */
static Node *open_raw(Store *s, bool writable, Cache *c)
{
        NodeOptions options = { .writable = writable, .cache = c };
        Node *n = NULL;
        Err err = { "" };
        if (node_open(&format_raw, s, &options, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

static Node *open_text(const char *text, bool writable, Cache *c)
{
        Store *s = NULL;
        assert_int_equal(mem_store_new(text, strlen(text), &s), 0);
        return open_raw(s, writable, c);
}

static Node *open_sparse(uint64_t size, Cache *c)
{
        int fd = memfd_create("sparse", MFD_CLOEXEC);
        Store *s = NULL;
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        assert_int_equal(store_open_fd(fd, STORE_WRITABLE, &s, NULL), 0);
        return open_raw(s, true, c);
}

static void test_guest_bytes_are_file_bytes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_text("0123456789", true, c);
        char buf[10];

        assert_int_equal(node_get_size(n), 10);
        assert_int_equal(node_write(n, "abc", 3, 4), 0);
        assert_int_equal(node_read(n, buf, 10, 0), 0);
        assert_memory_equal(buf, "0123abc789", 10);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(node_write(n, "x", 1, 10), -ENOSPC);
        assert_false(n->guessed);
}

static void test_read_only(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_text("0123456789", false, c);

        assert_int_equal(node_write(n, "x", 1, 0), -EROFS);
        assert_int_equal(node_discard(n, 0, 1), -EROFS);
        assert_int_equal(node_resize(n, 1), -EROFS);
        assert_int_equal(node_flush(n), 0);
}

static void test_an_empty_file_is_an_empty_disk(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_text("", true, c);
        uint64_t off = 0;

        assert_int_equal(node_get_size(n), 0);
        assert_int_equal(node_find(n, NODE_FIND_DATA, 0, &off), -ENXIO);
        assert_int_equal(node_discard(n, 0, 100), 0);
        assert_int_equal(node_resize(n, 5), 0);
        assert_int_equal(node_write(n, "abcde", 5, 0), 0);
}

static void test_there_are_no_snapshots(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = NULL;
        NodeOptions options = { .cache = c, .snapshot = "first" };
        Node *n = NULL;
        Err err = { "" };

        assert_int_equal(mem_store_new("x", 1, &s), 0);
        assert_int_equal(node_open(&format_raw, s, &options, NULL, &n, &err), -ENOENT);
        assert_string_equal(err.text, "raw: snapshot 'first': a raw image has no snapshots");
}

static void test_sizes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_sparse(LIMIT_DISK_SIZE, c);
        char buf[2] = "..";

        assert_int_equal(node_write(n, "z", 1, LIMIT_DISK_SIZE - 1), 0);
        assert_int_equal(node_read(n, buf, 2, LIMIT_DISK_SIZE - 1), 0);
        assert_memory_equal(buf, "z\0", 2);
        assert_int_equal(node_write(n, "zz", 2, LIMIT_DISK_SIZE - 1), -ENOSPC);
        assert_int_equal(node_resize(n, LIMIT_DISK_SIZE + 1), -EFBIG);
        assert_int_equal(node_resize(n, 100), 0);
        assert_int_equal(node_resize(n, 200), 0);
        assert_int_equal(node_read(n, buf, 2, 150), 0);
        assert_memory_equal(buf, "\0\0", 2);
}

static void test_holes_of_the_file_are_holes_of_the_disk(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_sparse(256 * KIB, c);
        uint64_t off = 0;
        StoreStat stat;

        assert_int_equal(node_write(n, "x", 1, 64 * KIB), 0);
        assert_int_equal(node_find(n, NODE_FIND_DATA, 0, &off), 0);
        assert_int_equal(off, 64 * KIB);
        assert_int_equal(node_find(n, NODE_FIND_HOLE, off, &off), 0);
        assert_int_equal(off, 68 * KIB);
        assert_int_equal(node_find(n, NODE_FIND_DATA, off, &off), -ENXIO);
        assert_int_equal(node_discard(n, 64 * KIB, 4 * KIB), 0);
        assert_int_equal(node_find(n, NODE_FIND_DATA, 0, &off), -ENXIO);
        assert_int_equal(node_get_stat(n, &stat), 0);
        assert_int_equal(stat.allocated, 0);
        assert_int_equal(node_allocate(n, 0, 128 * KIB), 0);
        assert_int_equal(node_get_stat(n, &stat), 0);
        assert_int_equal(stat.allocated, 128 * KIB);
}

static void test_a_host_that_cannot_punch_gets_zeroes_written(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_text("0123456789", true, c);
        char buf[10];

        mem_store_make_poor(n->store);
        assert_int_equal(node_discard(n, 2, 3), 0);
        assert_int_equal(node_read(n, buf, 10, 0), 0);
        assert_memory_equal(buf,
                            "01\0\0\0"
                            "56789",
                            10);
        assert_int_equal(node_allocate(n, 0, 10), -EOPNOTSUPP);
}

static void test_other_failures_of_punch_are_told(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        FaultPlan plan = { .code = EIO };
        Store *inner = NULL, *s = NULL;

        assert_int_equal(mem_store_new("0123456789", 10, &inner), 0);
        assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
        _cleanup_node_ Node *n = open_raw(s, true, c);
        atomic_store(&plan.fail_at, atomic_load(&plan.count) + 1);
        assert_int_equal(node_discard(n, 0, 5), -EIO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_guest_bytes_are_file_bytes),
                cmocka_unit_test(test_read_only),
                cmocka_unit_test(test_an_empty_file_is_an_empty_disk),
                cmocka_unit_test(test_there_are_no_snapshots),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_holes_of_the_file_are_holes_of_the_disk),
                cmocka_unit_test(test_a_host_that_cannot_punch_gets_zeroes_written),
                cmocka_unit_test(test_other_failures_of_punch_are_told),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
