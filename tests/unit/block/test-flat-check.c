/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flat-disk.h"

#include "block/flat-check.h"

enum {
        B = FLAT_BLOCK,
        COUNT = 4,
        ASKEW = INT32_MIN, /* the following bits count sectors */
};

typedef struct Case {
        const char *name;
        int64_t entries[COUNT], mended[COUNT];
        uint64_t places, cut; /* in the file; bytes off its end */
        uint64_t corruptions, left;
        const char *bytes; /* what the blocks show afterwards; ' ' zeroes */
} Case;

/* Place i is full of 'a' + i. */
static const Case cases[] = {
        { "sound", { 3, 0, 1 }, { 3, 0, 1 }, 3, 0, 0, 0, "c a " },
        { "nowhere", { 1, 1000001 }, { 1, 0 }, 1, 0, 1, 0, "a   " },
        { "past the end", { 2, 1 }, { 0, 1 }, 1, 0, 1, 0, " a  " },
        { "shared", { 1, 1, 1 }, { 1, 2, 3 }, 1, 0, 2, 0, "aaa " },
        { "shared, a place free", { 2, 0, 2 }, { 2, 0, 1 }, 2, 0, 1, 0, "b b " },
        { "cut", { 2, 1 }, { 2, 1 }, 2, B - 1, 1, 0, " a  " },
        { "cut and shared", { 2, 1, 2 }, { 2, 1, 3 }, 2, B - 1, 2, 0, " a  " },
        { "cut, place free", { 3, 2, 2 }, { 3, 2, 1 }, 3, B - 1, 2, 0, " bb " },
};

static Store *make(const Case *c)
{
        Store *s = flat_disk_make(B, COUNT, COUNT, c->places);
        char bytes[B];

        for (uint64_t i = 0; i < c->places; i++) {
                memset(bytes, 'a' + (int)i, B);
                assert_int_equal(store_write(s, bytes, B, flat_disk_pos(COUNT, B, i)), 0);
        }
        for (uint64_t i = 0; i < COUNT; i++)
                flat_disk_set(s, i, (uint32_t)c->entries[i]);
        if (c->cut)
                assert_int_equal(
                        store_set_size(s, flat_disk_pos(COUNT, B, c->places) - 512 - c->cut), 0);
        return s;
}

static Node *open_for_check(Store *s, Cache *cache)
{
        NodeOptions options = { .writable = true, .for_check = true, .cache = cache };
        Node *n = NULL;

        assert_int_equal(node_open(&format_flat_disk, s, &options, NULL, &n, NULL), 0);
        return n;
}

static void test_findings_and_repair(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *t = &cases[i];
                _cleanup_cache_ Cache *cache = new_cache();
                CheckReport report = { .repair = CHECK_REPAIR_ALL };
                FlatCheck c;

                print_message("case: %s\n", t->name);
                Node *n = open_for_check(make(t), cache);
                assert_int_equal(flat_check_begin(&c, n, n->state, &report), 0);
                assert_int_equal(flat_check_look(&c), 0);
                assert_int_equal(report.corruptions, t->corruptions);
                assert_int_equal(flat_check_mend(&c, UINT64_MAX), 0);
                report.corruptions = 0;
                assert_int_equal(flat_check_look(&c), 0);
                assert_int_equal(report.corruptions, t->left);
                flat_check_done(&c);
                for (uint64_t k = 0; k < COUNT; k++)
                        assert_int_equal(flat_disk_entry_of(n->store, k), (uint32_t)t->mended[k]);

                Store *s = TAKE(n->store);
                node_close(n);
                _cleanup_node_ Node *again = open_node_on(&format_flat_disk, s, true, cache);
                for (uint64_t k = 0; k < COUNT; k++)
                        assert_guest_bytes(again, t->bytes[k] == ' ' ? 0 : (uint8_t)t->bytes[k], 1,
                                           k * B + B - 1);
        }
}

/* A block between places comes to lie in one, and those that it touches are left alone meanwhile. */
static void test_askew(void **state)
{
        static const Case t = { "askew", { 0, 4 }, { 0 }, 5, 0, 0, 0, NULL };
        _cleanup_cache_ Cache *cache = new_cache();
        CheckReport report = { .repair = CHECK_REPAIR_ALL };
        FlatCheck c;
        char bytes[B];

        Store *s = make(&t);
        flat_disk_set(s, 0, (uint32_t)ASKEW | 3);
        _cleanup_node_ Node *n = open_for_check(s, cache);
        memset(bytes, '#', B);
        uint64_t first = flat_disk_pos(COUNT, B, 0) - 512;
        assert_int_equal(store_write(s, bytes, B, first + 3 * 512), 0);
        assert_int_equal(flat_check_begin(&c, n, n->state, &report), 0);
        assert_int_equal(flat_check_look(&c), 0);
        assert_int_equal(report.corruptions, 1);
        assert_int_equal(flat_check_mend(&c, UINT64_MAX), 0);
        flat_check_done(&c);
        assert_int_equal(flat_disk_entry_of(s, 0), 3);
        assert_int_equal(store_read(s, bytes, B, flat_disk_pos(COUNT, B, 2)), 0);
        assert_int_equal(bytes[0], '#');
        assert_int_equal(bytes[B - 1], '#');
}

/* Blocks come together in the first places. */
static void test_limit(void **state)
{
        static const Case t = { "holes", { 4, 0, 2 }, { 0 }, 4, 0, 0, 0, NULL };
        _cleanup_cache_ Cache *cache = new_cache();
        CheckReport report = { .repair = CHECK_REPAIR_LEAKS };
        FlatCheck c;

        Node *n = open_for_check(make(&t), cache);
        assert_int_equal(flat_check_begin(&c, n, n->state, &report), 0);
        assert_int_equal(flat_check_look(&c), 0);
        assert_int_equal(c.used_count, 2);
        assert_int_equal(c.place_end, 4);
        assert_int_equal(flat_check_mend(&c, c.used_count), 0);
        assert_int_equal(flat_check_look(&c), 0);
        assert_int_equal(c.place_end, 2);
        flat_check_done(&c);
        Store *s = TAKE(n->store);
        node_close(n);
        _cleanup_node_ Node *again = open_node_on(&format_flat_disk, s, true, cache);
        assert_guest_bytes(again, 'd', B, 0);
        assert_guest_bytes(again, 'b', B, 2 * B);
}

static void test_a_table_that_is_cut(void **state)
{
        _cleanup_cache_ Cache *cache = new_cache();
        CheckReport report = { .repair = CHECK_LOOK };
        FlatCheck c;

        Store *s = flat_disk_make(B, COUNT, COUNT, 0);
        assert_int_equal(store_set_size(s, FLAT_TABLE + 2 * FLAT_ENTRY_LEN), 0);
        _cleanup_node_ Node *n = open_for_check(s, cache);
        assert_int_equal(flat_check_begin(&c, n, n->state, &report), 0);
        assert_int_equal(flat_check_look(&c), 0);
        assert_int_equal(report.corruptions, 1);
        assert_true(c.has_missing);
        flat_check_done(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_findings_and_repair),
                cmocka_unit_test(test_askew),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_a_table_that_is_cut),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
