/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include <errno.h>

static void test_a_discarded_range_reads_as_zeroes(void **state)
{
        static const struct {
                const char *name;
                uint64_t off, len;
        } cases[] = {
                { "whole granules", G, 3 * G },
                { "ragged start", G + 1, 3 * G - 1 },
                { "ragged end", G, 3 * G - 1 },
                { "inside of one", G + 5, 7 },
                { "across a border", 2 * G - 3, 6 },
                { "all", 0, 5 * G },
                { "nothing", 3 * G, 0 },
                { "to far beyond the end", 4 * G + 9, 100 * G },
                { "past the end", 9 * G, G },
                { "as far as numbers go", G, UINT64_MAX - G },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                for (int what = 0; what < 2; what++) {
                        _cleanup_cache_ Cache *c = new_cache();
                        _cleanup_node_ Node *n = open_fake("ds.c0", 0, true, c);
                        n->backing = open_fake("ddddd", 0, false, c);
                        uint8_t before[5 * G], after[5 * G];
                        print_message("case: %s\n", cases[i].name);

                        assert_int_equal(node_read(n, before, sizeof(before), 0), 0);
                        int r = what ? node_discard(n, cases[i].off, cases[i].len)
                                     : node_zero(n, cases[i].off, cases[i].len);
                        assert_int_equal(r, 0);
                        assert_int_equal(node_read(n, after, sizeof(after), 0), 0);
                        for (uint64_t k = 0; k < sizeof(before); k++) {
                                bool cut = k >= cases[i].off && k - cases[i].off < cases[i].len;
                                assert_int_equal(after[k], cut ? 0 : before[k]);
                        }
                }
}

static void test_discard_gives_space_back_and_zero_keeps_it(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 0, true, c);
        Extent e;

        assert_int_equal(node_zero(n, 0, G), 0);
        assert_int_equal(node_discard(n, G, G), 0);
        assert_int_equal(n->format->map(n, 0, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(n->format->map(n, G, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_HOLE);
}

static void test_what_reads_as_zeroes_stays_as_it_is(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("0...", 0, true, c);
        n->backing = open_fake("dd0d", 3 * G, false, c);

        assert_int_equal(node_zero(n, 0, G), 0);
        /* Below is a hole, and then nothing any more. */
        assert_int_equal(node_zero(n, 2 * G, 2 * G), 0);
        assert_int_equal(node_discard(n, 2 * G + 5, 10), 0);
        assert_int_equal(calls_of(n).allocs, 0);
        /* Below are bytes. */
        assert_int_equal(node_zero(n, G + 100, 10), 0);
        assert_int_equal(calls_of(n).allocs, 1);
        assert_guest_bytes(n, 'B', 100, G);
        assert_guest_bytes(n, 0, 10, G + 100);
}

static void test_allocate_gives_every_granule_a_place(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("ds.c0", 5 * G - 10, true, c);
        n->backing = open_fake("ddddd", 0, false, c);
        uint8_t before[5 * G], after[5 * G];

        assert_int_equal(node_read(n, before, sizeof(before), 0), 0);
        assert_int_equal(node_allocate(n, 100, 5 * G), 0);
        assert_int_equal(node_read(n, after, sizeof(after), 0), 0);
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(calls_of(n).allocs, 4);
        assert_int_equal(node_allocate(n, 0, 5 * G), 0);
        assert_int_equal(calls_of(n).allocs, 4);
}

static void test_a_host_that_cannot_reserve_says_so(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d", 0, true, c);

        mem_store_make_poor(n->store);
        assert_int_equal(node_allocate(n, 0, G), -EOPNOTSUPP);
        assert_int_equal(node_zero(n, 10, 10), 0);
        assert_guest_bytes(n, 'A', 10, 0);
        assert_guest_bytes(n, 0, 10, 10);
}

static void test_a_read_only_node_is_left_alone(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d", 0, false, c);

        assert_int_equal(node_discard(n, 0, G), -EROFS);
        assert_int_equal(node_zero(n, 0, G), -EROFS);
        assert_int_equal(node_allocate(n, 0, G), -EROFS);
        assert_guest_bytes(n, 'A', G, 0);
}

static int failing_discard(
        Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        return -EIO;
}

static int refusing_discard(
        Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        return -EOPNOTSUPP;
}

static void test_a_format_that_cannot_and_one_that_fails(void **state)
{
        static const struct {
                int (*discard)(Node *, uint64_t, uint64_t, uint64_t *, uint64_t *);
                int result;
        } cases[] = { { NULL, 0 }, { refusing_discard, 0 }, { failing_discard, -EIO } };

        for (size_t i = 0; i < 3; i++) {
                Format format = format_fake;
                format.discard = cases[i].discard;
                _cleanup_cache_ Cache *c = new_cache();
                FakeImage image = { .size = G, .granule = G, .layout = "d" };
                Store *s = NULL;
                assert_int_equal(fake_make(&image, &s), 0);
                _cleanup_node_ Node *n = open_node_on(&format, s, true, c);
                assert_int_equal(node_discard(n, 0, G), cases[i].result);
                assert_guest_bytes(n, cases[i].result == 0 ? 0 : 'A', G, 0);
        }
}

/* Readers wait while a driver discards: it is asked for a gigabyte at a time. */
static void test_long_discards_go_in_pieces(void **state)
{
        enum {
                MIB = 1 << 20,
        };
        static const struct {
                const char *name;
                uint64_t off, len, discards;
        } cases[] = {
                { "all", 0, UINT64_C(3500) * MIB, 4 },
                { "ragged", 100, UINT64_C(3500) * MIB - 200, 4 },
                { "one piece", 5 * MIB, UINT64_C(1000) * MIB, 1 },
                { "across one border", UINT64_C(1023) * MIB + 7, 2 * MIB, 2 },
                { "to the end and far beyond", UINT64_C(2048) * MIB, UINT64_MAX / 2, 2 },
                { "as far as numbers go", UINT64_C(2048) * MIB, UINT64_MAX - UINT64_C(2048) * MIB,
                  2 },
                { "nothing", MIB, 0, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                FakeImage image = { .size = UINT64_C(3500) * MIB, .granule = MIB };
                Store *s = NULL;
                assert_int_equal(fake_make(&image, &s), 0);
                _cleanup_node_ Node *n = open_node_on(&format_fake, s, true, c);
                print_message("case: %s\n", cases[i].name);

                for (uint64_t at = 0; at < 3500; at += 500)
                        write_guest_bytes(n, 'x', 3, at * MIB + 50);
                assert_int_equal(node_discard(n, cases[i].off, cases[i].len), 0);
                assert_int_equal(calls_of(n).discards, cases[i].discards);
                assert_in_range(calls_of(n).longest_discard, 0, UINT64_C(1024) * MIB);
                for (uint64_t at = 0; at < 3500; at += 500) {
                        uint64_t off = at * MIB + 50;
                        bool gone = off >= cases[i].off && off - cases[i].off < cases[i].len;
                        assert_guest_bytes(n, gone ? 0 : 'x', 3, off);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_discarded_range_reads_as_zeroes),
                cmocka_unit_test(test_discard_gives_space_back_and_zero_keeps_it),
                cmocka_unit_test(test_what_reads_as_zeroes_stays_as_it_is),
                cmocka_unit_test(test_allocate_gives_every_granule_a_place),
                cmocka_unit_test(test_a_host_that_cannot_reserve_says_so),
                cmocka_unit_test(test_a_read_only_node_is_left_alone),
                cmocka_unit_test(test_a_format_that_cannot_and_one_that_fails),
                cmocka_unit_test(test_long_discards_go_in_pieces),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
