/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "store/faulty.h"

#include <errno.h>

/* What the disk of a test should hold: the same writes into memory. */
static uint8_t model[16 * G];

static void load_model(Node *n)
{
        memset(model, 0, sizeof(model));
        assert_int_equal(node_read(n, model, sizeof(model), 0), 0);
}

static void assert_is_model(Node *n)
{
        static uint8_t found[sizeof(model)];
        assert_int_equal(node_read(n, found, sizeof(found), 0), 0);
        for (size_t i = 0; i < sizeof(model); i++)
                if (found[i] != model[i])
                        fail_msg("guest byte %zu is %#x, not %#x", i, found[i], model[i]);
}

static void test_every_kind_takes_writes(void **state)
{
        static const struct {
                const char *name, *layout;
                uint64_t off, len;
                uint64_t allocs;
        } cases[] = {
                { "in place", "ddd", 100, 2 * G, 0 },
                { "whole granule of a hole", "0", 0, G, 1 },
                { "inside of a hole", "0", 10, 20, 1 },
                { "start of a granule below", ".", 0, 512, 1 },
                { "end of a granule below", ".", G - 512, 512, 1 },
                { "inside of a shared granule", "s", 700, 1, 1 },
                { "whole shared granule", "s", 0, G, 1 },
                { "inside of a coded granule", "c", 4000, 96, 1 },
                { "across all kinds", "0.scd", 3, 5 * G - 9, 4 },
                { "from data into a hole", "d0", G - 1, 2, 1 },
                { "nothing", "0", 17, 0, 0 },
                { "the last bytes", "ddd0", 4 * G - 1, 1, 1 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                _cleanup_node_ Node *n = open_fake(cases[i].layout, 0, true, c);
                n->backing = open_fake("dddddddd", 0, false, c);
                print_message("case: %s\n", cases[i].name);

                load_model(n);
                memset(model + cases[i].off, '#', cases[i].len);
                write_guest_bytes(n, '#', cases[i].len, cases[i].off);
                assert_is_model(n);
                assert_int_equal(calls_of(n).allocs, cases[i].allocs);
                assert_int_equal(calls_of(n).publishes, cases[i].allocs);
                assert_int_equal(calls_of(n).releases, 0);

                /* A second time everything is in place. */
                write_guest_bytes(n, '!', cases[i].len, cases[i].off);
                assert_int_equal(calls_of(n).allocs, cases[i].allocs);
        }
}

/* 3000 requests to a disk of `size` bytes, over each other. */
static void write_at_random(Node *n, size_t size)
{
        uint32_t x = 1;

        load_model(n);
        for (int i = 0; i < 3000; i++) {
                x = x * 1664525 + 1013904223;
                size_t off = x % size;
                x = x * 1664525 + 1013904223;
                size_t len = (x >> 8) % (i % 10 == 0 ? 3 * G : 600);
                len = len < size - off ? len : size - off;
                if (i % 7 == 3) {
                        memset(model + off, 0, len);
                        assert_int_equal(i % 2 ? node_zero(n, off, len) : node_discard(n, off, len),
                                         0);
                } else {
                        memset(model + off, i, len);
                        write_guest_bytes(n, (uint8_t)i, len, off);
                }
                if (i % 50 == 0)
                        assert_int_equal(node_flush(n), 0);
        }
        assert_is_model(n);
}

static void test_many_random_writes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("0.scd.s0cd.0s.cd", 16 * G - 1000, true, c);
        n->backing = open_fake("d.dsc", 5 * G - 100, false, c);

        write_at_random(n, 16 * G - 1000);
}

/* Seven sectors: granules begin and end wherever they like. */
static void test_granules_that_are_no_power_of_two(void **state)
{
        FakeImage image = { .size = 16 * G - 1000,
                            .granule = 7 * 512,
                            .layout = "0.scd.s0cd.0s.cd" };
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = NULL;

        assert_int_equal(fake_make(&image, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_fake, s, true, c);
        n->backing = open_fake("d.dsc", 5 * G - 100, false, c);
        write_at_random(n, 16 * G - 1000);

        /* What a longer disk brings to light within the last granule is zero. */
        assert_int_equal(node_resize(n, 5000), 0);
        assert_int_equal(node_resize(n, 8000), 0);
        assert_guest_bytes(n, 0, 3000, 5000);
}

static void test_what_was_flushed_is_in_the_file(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        FakeImage image = { .size = 4 * G, .granule = G, .layout = ".0sc" };
        _cleanup_store_ Store *s = NULL;
        assert_int_equal(fake_make(&image, &s), 0);
        Node *n = open_node_on(&format_fake, s, true, c);

        write_guest_bytes(n, 'x', 4 * G - 200, 100);
        assert_int_equal(node_flush(n), 0);
        n->store = NULL;
        node_close(n);

        _cleanup_node_ Node *again = open_node_on(&format_fake, TAKE(s), false, c);
        assert_guest_bytes(again, 0, 100, 0);
        assert_guest_bytes(again, 'x', 4 * G - 200, 100);
        assert_guest_bytes(again, 'D', 100, 4 * G - 100);
}

static void test_a_place_used_before_is_filled_with_zeroes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d00", 0, true, c);

        /* The place of granule 0 becomes free, two flushes later it may be taken again. */
        assert_int_equal(node_discard(n, 0, G), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(node_flush(n), 0);
        write_guest_bytes(n, 'x', 10, G + 100);
        assert_guest_bytes(n, 0, 100, G);
        assert_guest_bytes(n, 'x', 10, G + 100);
        assert_guest_bytes(n, 0, G - 110, G + 110);
}

static void test_a_read_only_node_takes_nothing(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d0", 0, false, c);

        assert_int_equal(node_write(n, "x", 1, 0), -EROFS);
        assert_int_equal(node_write(n, "x", 0, 0), -EROFS);
        assert_guest_bytes(n, 'A', G, 0);
}

static void test_writing_past_the_end_is_refused_as_a_whole(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", G + 100, true, c);
        char bytes[200] = "x";

        assert_int_equal(node_write(n, bytes, 200, G), -ENOSPC);
        assert_int_equal(node_write(n, bytes, 1, G + 100), -ENOSPC);
        assert_int_equal(node_write(n, bytes, 2, UINT64_MAX), -ENOSPC);
        assert_int_equal(node_write(n, bytes, 0, G + 100), 0);
        assert_guest_bytes(n, 'B', 100, G);
}

/* The granule at the end of the disk is filled beyond it, so that a longer disk shows zeroes there. */
static void test_the_last_granule_reaches_beyond_the_disk(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("s", 100, true, c);

        write_guest_bytes(n, 'x', 10, 0);
        assert_int_equal(node_resize(n, G), 0);
        assert_guest_bytes(n, 'x', 10, 0);
        assert_guest_bytes(n, 'A', 90, 10);
        assert_guest_bytes(n, 0, G - 100, 100);
}

static void test_a_failed_publish_gives_the_place_back(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("s", 0, true, c);

        fake_set_manner(n, &(FakeManner){ .publish_code = ENOSPC });
        assert_int_equal(node_write(n, "x", 1, 5), -ENOSPC);
        assert_int_equal(calls_of(n).releases, 1);
        assert_guest_bytes(n, 'A', G, 0);
        assert_int_equal(node_write(n, "x", 1, 5), 0);
        assert_guest_bytes(n, 'x', 1, 5);
        assert_guest_bytes(n, 'A', 5, 0);
}

static void test_a_failed_fill_gives_the_place_back(void **state)
{
        /* Reading the old bytes, writing them before, the new ones, reading and writing those behind. */
        for (unsigned fail_at = 1; fail_at <= 5; fail_at++) {
                FaultPlan plan = { .code = EIO };
                FakeImage image = { .size = G, .granule = G, .layout = "s" };
                Store *inner = NULL, *s = NULL;
                _cleanup_cache_ Cache *c = new_cache();
                assert_int_equal(fake_make(&image, &inner), 0);
                assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
                _cleanup_node_ Node *n = open_node_on(&format_fake, s, true, c);

                atomic_store(&plan.fail_at, atomic_load(&plan.count) + fail_at);
                assert_int_equal(node_write(n, "x", 1, 5), -EIO);
                assert_int_equal(calls_of(n).releases, 1);
                assert_int_equal(calls_of(n).publishes, 0);
                assert_guest_bytes(n, 'A', G, 0);
                assert_int_equal(node_write(n, "x", 1, 5), 0);
                assert_guest_bytes(n, 'x', 1, 5);
                assert_guest_bytes(n, 'A', G - 6, 6);
        }
}

static void test_a_failed_sync_ends_writing(void **state)
{
        FaultPlan plan = { .code = EIO };
        FakeImage image = { .size = 2 * G, .granule = G, .layout = "d0" };
        Store *inner = NULL, *s = NULL;
        _cleanup_cache_ Cache *c = new_cache();
        assert_int_equal(fake_make(&image, &inner), 0);
        assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_fake, s, true, c);

        write_guest_bytes(n, 'x', G, 0);
        atomic_store(&plan.fail_at, atomic_load(&plan.count) + 1);
        assert_int_equal(node_flush(n), -EIO);
        assert_true(atomic_load(&n->broken));
        assert_int_equal(node_write(n, "y", 1, 0), -EIO);
        assert_int_equal(node_zero(n, 0, 1), -EIO);
        assert_int_equal(node_discard(n, 0, 1), -EIO);
        assert_int_equal(node_allocate(n, 0, 1), -EIO);
        assert_int_equal(node_resize(n, G), -EIO);
        assert_int_equal(node_flush(n), -EIO);
        assert_guest_bytes(n, 'x', G, 0);
}

/* A granule larger than the buffer that old contents are copied through. */
static void test_large_granules_are_copied_in_pieces(void **state)
{
        enum {
                LARGE = 1 << 20,
        };
        _cleanup_cache_ Cache *c = new_cache();
        FakeImage image = { .size = 2 * LARGE, .granule = LARGE, .layout = "s" };
        Store *s = NULL;
        assert_int_equal(fake_make(&image, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_fake, s, true, c);

        write_guest_bytes(n, 'x', 3, 700001);
        assert_guest_bytes(n, 'A', 700001, 0);
        assert_guest_bytes(n, 'x', 3, 700001);
        assert_guest_bytes(n, 'A', LARGE - 700004, 700004);
}

/* A driver may place as much as is wanted at once, and what it places is filled around the new bytes. */
static void test_runs_of_granules_get_a_place_together(void **state)
{
        static const struct {
                const char *name, *layout;
                uint64_t run, off, len, allocs;
        } cases[] = {
                { "all", "....", 4 * G, 0, 4 * G, 1 },
                { "ragged at both ends", "s..s", 4 * G, 100, 4 * G - 200, 1 },
                { "no more than the driver likes", "0000", 2 * G, 5, 4 * G - 10, 2 },
                { "up to what is in place", "00d0", 4 * G, 0, 4 * G, 2 },
                { "packed ones by themselves", "0cc0", 4 * G, 0, 4 * G, 4 },
                { "packed first", "c0", 4 * G, G - 1, 2, 2 },
                { "not beyond what is wanted", "0000", 4 * G, 0, G + 1, 1 },
                { "longer than one request places", "0000", 99 * G, 10, 3 * G, 1 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                _cleanup_node_ Node *n = open_fake(cases[i].layout, 0, true, c);
                n->backing = open_fake("dddd", 0, false, c);
                fake_set_manner(n, &(FakeManner){ .run = cases[i].run });
                print_message("case: %s\n", cases[i].name);

                load_model(n);
                memset(model + cases[i].off, '#', cases[i].len);
                write_guest_bytes(n, '#', cases[i].len, cases[i].off);
                assert_is_model(n);
                assert_int_equal(calls_of(n).allocs, cases[i].allocs);
                assert_int_equal(calls_of(n).publishes, cases[i].allocs);
        }
}

/* Zeroes, and places for what is there: only what needs one gets one. */
static void test_filling_asks_for_what_needs_a_place(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("0s.0", 0, true, c);
        n->backing = open_fake("dd0d", 0, false, c);
        fake_set_manner(n, &(FakeManner){ .run = 4 * G });

        load_model(n);
        memset(model + 10, 0, 4 * G - 20);
        assert_int_equal(node_zero(n, 10, 4 * G - 20), 0);
        assert_is_model(n);
        assert_int_equal(calls_of(n).allocs, 1);
        assert_int_equal(node_allocate(n, 0, 4 * G), 0);
        assert_is_model(n);
        assert_int_equal(calls_of(n).allocs, 4);
}

/* Eight units in a granule: what is not touched stays where it is, be it below. */
static void test_parts_of_a_granule_get_a_place(void **state)
{
        static const struct {
                const char *name;
                uint64_t run, off, len, allocs;
        } cases[] = {
                { "one byte", 0, 0, 1, 1 },
                { "one byte in place", 0, 512, 1, 0 },
                { "across two", 0, 4 * 512 - 1, 2, 2 },
                { "across two at once", G, 3 * 512 - 1, 2, 1 },
                { "a whole granule", G, 0, G, 4 },
                { "across granules", 2 * G, G - 700, 1500, 1 },
                { "the last byte", 0, 2 * G - 1, 1, 1 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                _cleanup_node_ Node *n = open_fake_units(".d0sc....d0s....", 512, c);
                n->backing = open_fake("dd", 0, false, c);
                fake_set_manner(n, &(FakeManner){ .run = cases[i].run });
                print_message("case: %s\n", cases[i].name);

                load_model(n);
                memset(model + cases[i].off, '#', cases[i].len);
                write_guest_bytes(n, '#', cases[i].len, cases[i].off);
                assert_is_model(n);
                assert_int_equal(calls_of(n).allocs, cases[i].allocs);

                /* Half a granule of zeroes, ragged. */
                memset(model + 1000, 0, 2500);
                assert_int_equal(node_zero(n, 1000, 2500), 0);
                assert_is_model(n);
        }
}

/* Another request made way for this one: nothing is placed, nothing given back, and the bytes arrive. */
static void test_a_driver_that_wants_to_be_asked_again(void **state)
{
        for (unsigned again = 1; again <= 3; again++) {
                _cleanup_cache_ Cache *c = new_cache();
                _cleanup_node_ Node *n = open_fake("sc", 0, true, c);
                fake_set_manner(n, &(FakeManner){ .again = again });

                load_model(n);
                memset(model + 100, '#', G);
                write_guest_bytes(n, '#', G, 100);
                assert_is_model(n);
                assert_int_equal(calls_of(n).allocs, 2 + again);
                assert_int_equal(calls_of(n).publishes, 2);
                assert_int_equal(calls_of(n).releases, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_kind_takes_writes),
                cmocka_unit_test(test_many_random_writes),
                cmocka_unit_test(test_granules_that_are_no_power_of_two),
                cmocka_unit_test(test_what_was_flushed_is_in_the_file),
                cmocka_unit_test(test_a_place_used_before_is_filled_with_zeroes),
                cmocka_unit_test(test_a_read_only_node_takes_nothing),
                cmocka_unit_test(test_writing_past_the_end_is_refused_as_a_whole),
                cmocka_unit_test(test_the_last_granule_reaches_beyond_the_disk),
                cmocka_unit_test(test_a_failed_publish_gives_the_place_back),
                cmocka_unit_test(test_a_failed_fill_gives_the_place_back),
                cmocka_unit_test(test_a_failed_sync_ends_writing),
                cmocka_unit_test(test_large_granules_are_copied_in_pieces),
                cmocka_unit_test(test_runs_of_granules_get_a_place_together),
                cmocka_unit_test(test_filling_asks_for_what_needs_a_place),
                cmocka_unit_test(test_parts_of_a_granule_get_a_place),
                cmocka_unit_test(test_a_driver_that_wants_to_be_asked_again),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
