/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flat-disk.h"

#include "store/faulty.h"

enum {
        B = FLAT_BLOCK,
};

static uint64_t size_of(Store *s)
{
        uint64_t size = 0;
        assert_int_equal(store_get_size(s, &size), 0);
        return size;
}

static void test_nobody_writes_nothing_changes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(B, 4, 4, 0);
        /* Not even a count that is wrong. */
        assert_int_equal(flat_disk_put(s, FIELD_PLACES, 3), 0);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);

        assert_int_equal(node_zero(n, 0, 4 * B), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_get(s, FIELD_BEGUN), 0);
        assert_int_equal(flat_disk_get(s, FIELD_PLACES), 3);
}

static void test_blocks_get_places(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(B, 4, 4, 0);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);

        write_guest_bytes(n, 'x', 10, 2 * B + 5);
        write_guest_bytes(n, 'y', 10, 5);
        write_guest_bytes(n, 'z', 10, 2 * B + 15);
        assert_int_equal(flat_disk_get(s, FIELD_BEGUN), 1);
        assert_int_equal(size_of(s), flat_disk_pos(4, B, 1) + B);
        assert_int_equal(flat_disk_entry_of(s, 2), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_entry_of(s, 2), 1);
        assert_int_equal(flat_disk_entry_of(s, 0), 2);
        assert_int_equal(flat_disk_get(s, FIELD_PLACES), 2);
        assert_guest_bytes(n, 'x', 10, 2 * B + 5);
        assert_guest_bytes(n, 0, B - 25, 2 * B + 25);
}

/* Places that no entry leads to are used first, and cleared. */
static void test_free_places_are_used(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(B, 4, 4, 3);
        char old[B];

        memset(old, 'o', B);
        assert_int_equal(store_write(s, old, B, flat_disk_pos(4, B, 1)), 0);
        flat_disk_set(s, 0, 1);
        flat_disk_set(s, 1, 3);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);
        write_guest_bytes(n, 'x', 1, 3 * B);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_entry_of(s, 3), 2);
        assert_guest_bytes(n, 0, B - 1, 3 * B + 1);
        write_guest_bytes(n, 'x', 1, 2 * B);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_entry_of(s, 2), 4);
}

static void test_append_only(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(B, 4, 4, 3);

        flat_disk_set(s, 0, 2);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);
        flat_append_only(n->state);
        write_guest_bytes(n, 'x', 1, 3 * B);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_entry_of(s, 3), 4);
}

/* What was given a place and could not be filled gives it back, and the file becomes as short as it was. */
static void test_what_fails_leaves_nothing(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        FaultPlan plan = { .code = EIO };
        Store *inner = flat_disk_make(B, 4, 4, 0), *s = NULL;
        uint64_t before = size_of(inner);

        assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);
        /* Begun, counted, so that only this write is what follows. */
        assert_int_equal(node_discard(n, 0, B), 0);
        atomic_store(&plan.fail_at, atomic_load(&plan.count) + 2);
        assert_int_equal(node_write(n, "x", 1, 0), -EIO);
        assert_int_equal(size_of(s), before + B + 512);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(size_of(s), before);
        assert_int_equal(flat_disk_get(s, FIELD_PLACES), 0);
        write_guest_bytes(n, 'x', 1, 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_entry_of(s, 0), 1);
}

/* More changed pieces than are kept: they are written without a flush. */
static void test_many_pieces(void **state)
{
        enum {
                COUNT = 1100 * FLAT_PIECE_ENTRIES,
        };
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(512, COUNT, COUNT, 0);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);

        for (uint64_t i = 0; i < COUNT; i += FLAT_PIECE_ENTRIES)
                write_guest_bytes(n, 'x', 1, i * 512);
        assert_int_equal(flat_disk_entry_of(s, 0), 1);
        assert_int_equal(node_flush(n), 0);
        for (uint64_t i = 0; i < COUNT; i += FLAT_PIECE_ENTRIES)
                assert_int_equal(flat_disk_entry_of(s, i), 1 + i / FLAT_PIECE_ENTRIES);
}

static void test_discard_keeps_the_place(void **state)
{
        for (int poor = 0; poor < 2; poor++) {
                _cleanup_cache_ Cache *c = new_cache();
                Store *s = flat_disk_make(B, 4, 4, 1);

                flat_disk_set(s, 1, 1);
                if (poor)
                        mem_store_make_poor(s);
                _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);
                write_guest_bytes(n, 'x', B, B);
                assert_int_equal(node_discard(n, 10, 2 * B - 20), 0);
                assert_int_equal(node_flush(n), 0);
                assert_guest_bytes(n, 0, B - 10, B);
                assert_guest_bytes(n, 'x', 10, 2 * B - 10);
                assert_int_equal(flat_disk_entry_of(s, 1), 1);
        }
}

static void test_resize(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = flat_disk_make(B, 3, 5, 0);
        char old[B];

        /* What lies behind the entries is nobody's. */
        flat_disk_set(s, 3, 99);
        flat_disk_set(s, 4, 99);
        _cleanup_node_ Node *n = open_node_on(&format_flat_disk, s, true, c);
        write_guest_bytes(n, 'x', 3 * B, 0);
        assert_int_equal(node_resize(n, B + 1), 0);
        assert_int_equal(node_flush(n), 0);
        /* In whole sectors; the entries stay. */
        assert_int_equal(flat_disk_get(s, FIELD_SIZE), B + 512);
        assert_int_equal(flat_disk_get(s, FIELD_COUNT), 3);
        assert_int_equal(flat_disk_entry_of(s, 2), 3);

        /* Somebody else may have left bytes there. */
        memset(old, 'o', B);
        assert_int_equal(store_write(s, old, B, flat_disk_pos(5, B, 2)), 0);
        assert_int_equal(node_resize(n, 5 * B), 0);
        assert_guest_bytes(n, 'x', B + 1, 0);
        assert_guest_bytes(n, 0, 4 * B - 1, B + 1);
        write_guest_bytes(n, 'y', 1, 5 * B - 1);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(flat_disk_get(s, FIELD_COUNT), 5);
        assert_int_equal(flat_disk_entry_of(s, 3), 0);
        assert_int_equal(flat_disk_entry_of(s, 4), 4);
        assert_int_equal(node_resize(n, 5 * B + 1), -EFBIG);
        assert_int_equal(node_get_size(n), 5 * B);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_writes_nothing_changes),
                cmocka_unit_test(test_blocks_get_places),
                cmocka_unit_test(test_free_places_are_used),
                cmocka_unit_test(test_append_only),
                cmocka_unit_test(test_what_fails_leaves_nothing),
                cmocka_unit_test(test_many_pieces),
                cmocka_unit_test(test_discard_keeps_the_place),
                cmocka_unit_test(test_resize),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
