/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flat-disk.h"

static int map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return n->format->map(n, off, len, ret);
}

static void test_runs(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(FLAT_BLOCK, 3000, 3000, 4);
        Extent e;

        flat_disk_set(s, 1500, 2);
        flat_disk_set(s, 1501, 1);
        flat_disk_set(s, 2999, 4);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, false, c);

        /* A hole over more than one piece of the table. */
        assert_int_equal(map(n, 5, 3000 * FLAT_BLOCK - 5, &e), 0);
        assert_int_equal(e.kind, EXTENT_HOLE);
        assert_int_equal(e.off, 0);
        assert_int_equal(e.len, 1500 * FLAT_BLOCK);
        /* Bytes before each block: two are never in a row. */
        assert_int_equal(map(n, 1500 * FLAT_BLOCK + 7, 2 * FLAT_BLOCK, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(e.off, 1500 * FLAT_BLOCK);
        assert_int_equal(e.len, FLAT_BLOCK);
        assert_int_equal(e.pos, flat_disk_pos(3000, FLAT_BLOCK, 1));
        assert_false(e.in_place);
        assert_int_equal(map(n, 2999 * FLAT_BLOCK, 1, &e), 0);
        assert_int_equal(e.pos, flat_disk_pos(3000, FLAT_BLOCK, 3));
}

static void test_a_broken_entry_fails_alone(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(FLAT_BLOCK, 4, 4, 2);
        Extent e;

        flat_disk_set(s, 2, 1000001);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, false, c);
        assert_int_equal(map(n, 0, 4 * FLAT_BLOCK, &e), 0);
        assert_int_equal(e.len, 2 * FLAT_BLOCK);
        assert_int_equal(map(n, 2 * FLAT_BLOCK, 1, &e), -EIO);
        assert_int_equal(map(n, 3 * FLAT_BLOCK, 1, &e), 0);
}

static void test_what_the_file_lacks_fails_alone(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(FLAT_BLOCK, 4, 4, 2);
        uint64_t end = flat_disk_pos(4, FLAT_BLOCK, 1) + 100;
        Extent e;

        flat_disk_set(s, 0, 2);
        flat_disk_set(s, 1, 3);
        assert_int_equal(store_set_size(s, end), 0);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, false, c);
        assert_int_equal(map(n, 0, FLAT_BLOCK, &e), 0);
        assert_int_equal(e.len, 100);
        assert_int_equal(map(n, 99, 1, &e), 0);
        assert_int_equal(map(n, 100, 1, &e), -EIO);
        assert_int_equal(map(n, FLAT_BLOCK, 1, &e), -EIO);
        assert_int_equal(map(n, 2 * FLAT_BLOCK, 1, &e), 0);
}

static void test_entries_that_are_missing(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(FLAT_BLOCK, 2000, 2000, 0);
        Extent e;

        assert_int_equal(store_set_size(s, FLAT_TABLE + 1500 * FLAT_ENTRY_LEN + 3), 0);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, false, c);
        assert_int_equal(flat_present(n->state), 1500);
        assert_int_equal(map(n, 0, 2000 * FLAT_BLOCK, &e), 0);
        assert_int_equal(e.len, 1500 * FLAT_BLOCK);
        assert_int_equal(map(n, 1500 * FLAT_BLOCK, 1, &e), -EIO);
}

static void test_places(void **state)
{
        Flat f = { .first_pos = 1000, .stride = 110, .lead = 10 };
        uint64_t place = 9;

        assert_int_equal(flat_place_pos(&f, 3), 1340);
        assert_true(flat_find_place(&f, 1010, &place));
        assert_int_equal(place, 0);
        assert_true(flat_find_place(&f, 1340, &place));
        assert_int_equal(place, 3);
        assert_false(flat_find_place(&f, 1341, &place));
        assert_false(flat_find_place(&f, 900, &place));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_runs),
                cmocka_unit_test(test_a_broken_entry_fails_alone),
                cmocka_unit_test(test_what_the_file_lacks_fails_alone),
                cmocka_unit_test(test_entries_that_are_missing),
                cmocka_unit_test(test_places),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
