/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "store/faulty.h"

#include <errno.h>

/* Layers: top "d.0c.", below it "ddddds" cut to a shorter size in some tests. */
static Node *open_two(const char *top, const char *below, uint64_t below_size, Cache *c)
{
        Node *n = open_fake(top, 0, false, c);
        n->backing = open_fake(below, below_size, false, c);
        return n;
}

static void test_each_kind_reads_as_it_says(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d0.cs", 0, false, c);

        assert_guest_bytes(n, 'A', G, 0);
        assert_guest_bytes(n, 0, G, G);
        assert_guest_bytes(n, 0, G, 2 * G);
        assert_guest_bytes(n, 'D', G, 3 * G);
        assert_guest_bytes(n, 'E', G, 4 * G);
}

static void test_a_read_crosses_extents(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_two("d0.cs", "xxdxx", 0, c);
        uint8_t buf[5 * G - 200];

        assert_int_equal(node_read(n, buf, sizeof(buf), 100), 0);
        const char expected[] = { 'A', 0, 'C', 'D', 'E' };
        for (size_t i = 0; i < sizeof(buf); i++)
                assert_int_equal(buf[i], (uint8_t)expected[(i + 100) / G]);
        /* What follows coded extents is asked for twice. */
        assert_int_equal(calls_of(n).maps, 6);
}

/* Long enough for others to help, with a hole in it, and ends that are ragged. */
static void test_many_coded_extents(void **state)
{
        enum { COUNT = 100, HOLE = 70 };
        char layout[COUNT + 1] = "";
        memset(layout, 'c', COUNT);
        layout[HOLE] = '0';
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake(layout, 0, false, c);
        static uint8_t buf[COUNT * G];

        for (size_t cut = 0; cut < 3; cut++) {
                size_t from = cut * 700, len = sizeof(buf) - 2 * from;
                memset(buf, '?', sizeof(buf));
                assert_int_equal(node_read(n, buf, len, from), 0);
                for (size_t i = 0; i < len; i++) {
                        uint64_t unit = (from + i) / G;
                        assert_int_equal(buf[i], unit == HOLE ? 0 : fake_byte(unit));
                }
                for (size_t i = len; i < sizeof(buf); i++)
                        assert_int_equal(buf[i], '?');
        }
}

/* One of many cannot be read: so can all of them together. Afterwards nothing of it is left. */
static void test_one_of_many_fails(void **state)
{
        enum { COUNT = 64, BAD = 40 };
        char layout[COUNT + 1] = "";
        memset(layout, 'c', COUNT);
        FakeImage image = { .size = COUNT * G, .granule = G, .layout = layout };
        FaultPlan plan = { .code = EIO };
        _cleanup_cache_ Cache *c = new_cache();
        Store *inner = NULL, *s = NULL;
        static uint8_t buf[COUNT * G];

        assert_int_equal(fake_make(&image, &inner), 0);
        assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_fake_read_only, s, false, c);
        atomic_store(&plan.fail_at, atomic_load(&plan.count) + BAD);
        assert_int_equal(node_read(n, buf, sizeof(buf), 0), -EIO);
        assert_int_equal(node_read(n, buf, sizeof(buf), 0), 0);
        for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(buf[i * G], fake_byte(i));
        assert_true(calls_of(n).decodes >= BAD + COUNT);
}

/* Whole extents of a long read are not kept; what is read of them in short reads is, and then serves the long ones as well. */
static void test_long_reads_keep_nothing(void **state)
{
        enum { COUNT = 32 };
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("cccccccccccccccccccccccccccccccccc", 0, false, c);
        static uint8_t buf[COUNT * G];
        CacheStat stat;

        assert_int_equal(node_read(n, buf, sizeof(buf), 0), 0);
        cache_get_stat(c, &stat);
        assert_int_equal(stat.bytes, 0);
        assert_guest_bytes(n, 'B', 1, 2 * G - 1);
        assert_guest_bytes(n, 'C', G, 2 * G);
        assert_guest_bytes(n, 'C', G, 2 * G);
        assert_int_equal(calls_of(n).decodes, COUNT + 2);
        assert_int_equal(node_read(n, buf, sizeof(buf), 0), 0);
        assert_int_equal(calls_of(n).decodes, 2 * COUNT);
        for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(buf[i * G], fake_byte(i));
}

/* Whoever reads one after the other, in whatever pieces, has each extent unpacked once. */
static void test_one_after_the_other(void **state)
{
        enum { TOTAL = 8 << 20 };
        static const size_t extents[] = { 4096, 32768, 65536, 1 << 20, 2 << 20 };
        static const size_t requests[] = { 4096, 128 << 10, 300000, 1 << 20, 3 << 20 };
        char layout[TOTAL / 4096 + 1] = "";
        _cleanup_free_ uint8_t *buf = malloc(3 << 20);

        memset(layout, 'c', sizeof(layout) - 1);
        for (size_t i = 0; i < sizeof(extents) / sizeof(extents[0]); i++)
                for (size_t k = 0; k < sizeof(requests) / sizeof(requests[0]); k++) {
                        FakeImage image = { .size = TOTAL, .granule = extents[i] };
                        _cleanup_cache_ Cache *c = new_cache();
                        Store *s = NULL;
                        image.layout = layout + sizeof(layout) - 1 - TOTAL / extents[i];
                        assert_int_equal(fake_make(&image, &s), 0);
                        _cleanup_node_ Node *n = open_node_on(&format_fake_read_only, s, false, c);
                        for (uint64_t off = 0; off < TOTAL; off += requests[k])
                                assert_int_equal(node_read(n, buf, requests[k], off), 0);
                        assert_int_equal(calls_of(n).decodes, TOTAL / extents[i]);
                }
}

static void test_ragged_ends(void **state)
{
        static const struct {
                uint64_t off;
                size_t len;
        } cases[] = {
                { 0, 1 },         { G - 1, 1 },     { G - 1, 2 },     { 1, G },
                { 2 * G - 1, 2 }, { 3 * G, 1 },     { 4 * G - 1, 1 }, { 4 * G - 1, 2 },
                { 3 * G + 5, 7 }, { 5 * G - 1, 1 },
        };
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_two("d0.cs", "xxdxx", 0, c);
        static const char expected[] = { 'A', 0, 'C', 'D', 'E' };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint8_t buf[2 * G];
                memset(buf, '?', sizeof(buf));
                assert_int_equal(node_read(n, buf, cases[i].len, cases[i].off), 0);
                for (size_t k = 0; k < cases[i].len; k++)
                        assert_int_equal(buf[k], (uint8_t)expected[(cases[i].off + k) / G]);
                /* And nothing beyond. */
                assert_int_equal(buf[cases[i].len], '?');
        }
}

static void test_a_shorter_layer_below_ends_in_zeroes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_two("....", "dd", G + 10, c);

        assert_guest_bytes(n, 'A', G, 0);
        assert_guest_bytes(n, 'B', 10, G);
        assert_guest_bytes(n, 0, 3 * G - 10, G + 10);
}

static void test_a_longer_layer_below_is_cut(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_two(".", "ddd", 0, c);

        assert_int_equal(node_get_size(n), G);
        assert_guest_bytes(n, 'A', G, 0);
        assert_guest_bytes(n, 0, G, G);
}

static void test_past_the_end_and_nothing(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", G + 100, false, c);

        assert_guest_bytes(n, 'B', 100, G);
        assert_guest_bytes(n, 0, 50, G + 100);
        assert_guest_bytes(n, 0, 50, UINT64_MAX - 20);
        assert_int_equal(node_read(n, NULL, 0, 0), 0);
        assert_int_equal(node_read(n, NULL, 0, UINT64_MAX), 0);
}

static void test_coded_extents_are_decoded_once(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("cc", 0, false, c);

        for (uint64_t off = 0; off < 2 * G; off += 512)
                assert_guest_bytes(n, fake_byte(off / G), 512, off);
        assert_int_equal(calls_of(n).decodes, 2);

        CacheStat stat;
        cache_get_stat(c, &stat);
        assert_int_equal(stat.misses, 2);
        assert_int_equal(stat.hits, 14);
}

static void test_a_node_that_closes_leaves_no_decoded_block(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Node *n = open_fake("cc", 0, false, c);
        CacheStat stat;

        assert_guest_bytes(n, 'A', 1, 0);
        node_close(n);
        cache_get_stat(c, &stat);
        assert_int_equal(stat.bytes, 0);
}

static void test_errors_come_up_from_each_kind(void **state)
{
        static const char *const layouts[] = { "d", "c", "s" };

        for (size_t i = 0; i < 3; i++) {
                FaultPlan plan = { .code = EIO };
                FakeImage image = { .size = G, .granule = G, .layout = layouts[i] };
                Store *inner = NULL, *s = NULL;
                char buf[16];
                _cleanup_cache_ Cache *c = new_cache();
                assert_int_equal(fake_make(&image, &inner), 0);
                assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
                _cleanup_node_ Node *below = open_node_on(&format_fake, s, false, c);
                _cleanup_node_ Node *n = open_fake(".", 0, false, c);
                n->backing = TAKE(below);

                atomic_store(&plan.fail_at, atomic_load(&plan.count) + 1);
                assert_int_equal(node_read(n, buf, 16, 0), -EIO);
                /* A failure leaves nothing behind. */
                assert_guest_bytes(n, 'A', G, 0);
        }
}

/* A driver that answers for more than fits in memory. */
static int vast_open(Node *n, Opener *opener, Err *err)
{
        n->size = LIMIT_DISK_SIZE;
        return 0;
}

static void vast_close(Node *n)
{
}

static int vast_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        bool coded = off < LIMIT_DISK_SIZE / 2;
        *ret = (Extent){ .kind = coded ? EXTENT_CODED : EXTENT_HOLE, .len = LIMIT_DISK_SIZE };
        return 0;
}

static const Format format_vast = {
        .name = "vast", .open = vast_open, .close = vast_close, .map = vast_map
};

static void test_vast_extents(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = NULL;
        char buf[16] = "x";
        assert_int_equal(mem_store_new(NULL, 0, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_vast, s, false, c);

        assert_int_equal(node_read(n, buf, 16, 0), -EFBIG);
        assert_guest_bytes(n, 0, 16, LIMIT_DISK_SIZE - 16);
        assert_guest_bytes(n, 0, 16, LIMIT_DISK_SIZE - 8);
}

/* A place is given up, used again for other bytes, and only then read: the driver counts, the reader asks again. */
static void test_bytes_that_move_while_they_are_read(void **state)
{
        static const char *const layouts[] = { "d", "s", "c", "." };

        for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
                for (unsigned moves = 1; moves <= 3; moves++) {
                        _cleanup_cache_ Cache *c = new_cache();
                        _cleanup_node_ Node *n = open_fake(layouts[i], 0, false, c);
                        n->backing = open_fake("s", 0, false, c);
                        Node *moving = layouts[i][0] == '.' ? n->backing : n;

                        fake_set_manner(moving, &(FakeManner){ .moves = moves });
                        assert_guest_bytes(n, 'A', 100, 50);
                        assert_int_equal(calls_of(moving).maps, moves + 1);
                }
}

/* What could not be read from a place that has been given up is no error of the disk. */
static void test_a_failure_where_nothing_lies_any_more(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        FakeImage image = { .size = G, .granule = G, .layout = "s" };
        FaultPlan plan = { .code = EIO };
        Store *inner = NULL, *s = NULL;
        assert_int_equal(fake_make(&image, &inner), 0);
        assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_fake, s, false, c);

        fake_set_manner(n, &(FakeManner){ .moves = 1 });
        /* Moving reads once and writes twice; the fourth operation is the reader's. */
        atomic_store(&plan.fail_at, atomic_load(&plan.count) + 4);
        assert_guest_bytes(n, 'A', 100, 50);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_kind_reads_as_it_says),
                cmocka_unit_test(test_a_read_crosses_extents),
                cmocka_unit_test(test_ragged_ends),
                cmocka_unit_test(test_many_coded_extents),
                cmocka_unit_test(test_one_of_many_fails),
                cmocka_unit_test(test_long_reads_keep_nothing),
                cmocka_unit_test(test_one_after_the_other),
                cmocka_unit_test(test_a_shorter_layer_below_ends_in_zeroes),
                cmocka_unit_test(test_a_longer_layer_below_is_cut),
                cmocka_unit_test(test_past_the_end_and_nothing),
                cmocka_unit_test(test_coded_extents_are_decoded_once),
                cmocka_unit_test(test_a_node_that_closes_leaves_no_decoded_block),
                cmocka_unit_test(test_errors_come_up_from_each_kind),
                cmocka_unit_test(test_vast_extents),
                cmocka_unit_test(test_bytes_that_move_while_they_are_read),
                cmocka_unit_test(test_a_failure_where_nothing_lies_any_more),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
