/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/qcow2-writing.h"

#include "store/mem.h"

extern const Format format_raw;

/* A raw disk of 'B's below. */
static void put_below(Opened *o, size_t len)
{
        _cleanup_free_ uint8_t *bytes = malloc(len);
        NodeOptions options = { .cache = o->cache };
        Store *s = NULL;

        memset(bytes, 'B', len);
        assert_int_equal(mem_store_new(bytes, len, &s), 0);
        assert_int_equal(node_open(&format_raw, s, &options, NULL, &o->node->backing, NULL), 0);
}

/* As far as the header goes, there is a backing file. */
static void name_below(Image *image)
{
        image_put(image, IMAGE_BACKING_OFFSET, 8, 400);
        image_put(image, IMAGE_BACKING_SIZE, 4, 1);
        image_put_bytes(image, 400, "b", 1);
}

typedef struct Case {
        const char *name;
        unsigned version;
        bool backing;
        uint64_t entry, after;
} Case;

/* Of guest cluster 1. With version 2 and a backing file nothing can be given back: zeroes are written. */
static const Case cases[] = {
        { "nothing", 3, false, 0, 0 },
        { "nothing, over a backing file", 3, true, 0, ZERO },
        { "nothing, version 2", 2, false, 0, 0 },
        { "data", 3, false, COPIED | 4 * C, ZERO },
        { "data, over a backing file", 3, true, COPIED | 4 * C, ZERO },
        { "data, version 2", 2, false, COPIED | 4 * C, 0 },
        { "zeroes", 3, false, ZERO, ZERO },
        { "zeroes, over a backing file", 3, true, ZERO, ZERO },
        { "zeroes with a place", 3, false, COPIED | 4 * C | ZERO, ZERO },
        { "packed", 3, true, PACKED | (4 * C + 3), ZERO },
        { "packed, version 2", 2, false, PACKED | (4 * C + 3), 0 },
};

static void test_entries_afterwards(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                const Case *c = &cases[k];
                Opened o;
                print_message("case: %s\n", c->name);
                image_begin(&image, 9, 64 * C, false);
                image_put(&image, IMAGE_VERSION, 4, c->version);
                if (c->backing)
                        name_below(&image);
                image_map(&image, 1, c->entry);
                image_map(&image, 2, COPIED | 5 * C);
                memset(image.bytes + 5 * C, 'n', C);
                image_count(&image, 6, 4);
                if ((c->entry & ~(COPIED | ZERO)) == 0)
                        image_set_refcount(&image, 4, 0);
                open_or_fail(&image, &o);
                if (c->backing)
                        put_below(&o, 64 * C);

                assert_int_equal(node_discard(o.node, C, C), 0);
                assert_bytes(&o, 0, C, C);
                assert_sound(&o);
                assert_int_equal(stored(&o, L2 * C + 8, 8), c->after);
                assert_int_equal(stored_refcount(&o, 4), 0);
                assert_bytes(&o, c->backing ? 'B' : 0, C, 0);
                assert_bytes(&o, 'n', C, 2 * C);
                image_close(&o);
        }
}

static void test_version_2_over_a_backing_file(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 64 * C, false);
        image_put(&image, IMAGE_VERSION, 4, 2);
        name_below(&image);
        image_map(&image, 1, COPIED | 4 * C);
        image_count(&image, 5, 4);
        open_or_fail(&image, &o);
        put_below(&o, 64 * C);
        assert_int_equal(node_discard(o.node, C, 2 * C), 0);
        assert_bytes(&o, 'B', C, 0);
        assert_bytes(&o, 0, 2 * C, C);
        assert_bytes(&o, 'B', C, 3 * C);
        assert_sound(&o);
        assert_bytes(&o, 0, 2 * C, C);
        /* Version 2 has no entry that says zeroes. */
        assert_int_equal(stored(&o, L2 * C + 8, 8), COPIED | 4 * C);
        assert_true(stored(&o, L2 * C + 16, 8) & COPIED);
        image_close(&o);
}

/* Whole clusters are given back, ragged ends zeroed; the end of the disk counts as whole. */
static void test_ragged_ranges(void **state)
{
        enum {
                K = 1024,
                SIZE = 7 * K / 2,
        };
        static const struct {
                const char *name;
                uint64_t off, len;
                uint64_t freed; /* bits: guest clusters 0 to 3 */
        } ranges[] = {
                { "one cluster", K, K, 2 },
                { "a byte more on both sides", K - 1, K + 2, 2 },
                { "a byte less on both sides", K + 1, K - 2, 0 },
                { "almost everything", 1, SIZE - 1, 2 | 4 | 8 },
                { "to the end", 2 * K, SIZE - 2 * K, 4 | 8 },
                { "past the end", 3 * K, 100 * K, 8 },
                { "a part up to the end", 3 * K + 1, 100 * K, 0 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(ranges) / sizeof(ranges[0]); k++) {
                Opened o;
                print_message("case: %s\n", ranges[k].name);
                image_begin(&image, 10, SIZE, false);
                for (uint64_t i = 0; i < 4; i++) {
                        image_map(&image, i, COPIED | (4 + i) * K);
                        memset(image.bytes + (4 + i) * K, 'a' + (int)i, K);
                }
                image_count(&image, 8, 4);
                open_or_fail(&image, &o);
                assert_int_equal(node_discard(o.node, ranges[k].off, ranges[k].len), 0);
                assert_sound(&o);
                for (uint64_t i = 0; i < 4; i++) {
                        bool freed = ranges[k].freed >> i & 1;
                        assert_int_equal(stored(&o, 3 * K + 8 * i, 8),
                                         freed ? ZERO : COPIED | (4 + i) * K);
                        assert_int_equal(stored_refcount(&o, 4 + i), !freed);
                }
                for (uint64_t off = 0; off < SIZE; off++) {
                        bool gone = off >= ranges[k].off && off - ranges[k].off < ranges[k].len;
                        assert_bytes(&o, gone ? 0 : (uint8_t)('a' + off / K), 1, off);
                }
                image_close(&o);
        }
}

static void test_space_is_given_back(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 64 * C, false);
        image_map(&image, 0, COPIED | 4 * C);
        memset(image.bytes + 4 * C, 'a', C);
        image_count(&image, 5, 4);
        open_or_fail(&image, &o);
        assert_int_equal(node_discard(o.node, 0, C), 0);
        assert_sound(&o);
        for (uint64_t i = 0; i < C; i++)
                assert_int_equal(stored(&o, 4 * C + i, 1), 0);
        image_close(&o);
}

/* A snapshot still shows it: nothing is given back. */
static void test_a_shared_cluster_stays(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 64 * C, false);
        image_map(&image, 0, 4 * C);
        memset(image.bytes + 4 * C, 'a', C);
        image_put(&image, 5 * C, 8, 4 * C);
        image_put(&image, 6 * C, 8, 5 * C);
        image_snapshot(&image, 7 * C, 6 * C);
        image_count(&image, 8, 4);
        image_set_refcount(&image, 4, 2);
        open_or_fail(&image, &o);
        assert_int_equal(node_discard(o.node, 0, C), 0);
        assert_bytes(&o, 0, C, 0);
        assert_sound(&o);
        assert_int_equal(stored(&o, 4 * C, 1), 'a');
        assert_int_equal(stored_refcount(&o, 4), 1);
        assert_int_equal(stored(&o, L2 * C, 8), ZERO);
        image_close(&o);
}

static void test_extended_entries(void **state)
{
        enum {
                BIG = 1 << 14,
        };
        static const uint64_t zeroes = UINT64_C(0xffffffff00000000);
        static const struct {
                const char *name;
                bool backing;
                uint64_t entry, bitmap, off, len, after, bitmap_after;
        } extended[] = {
                { "data", false, COPIED | 4 * BIG, 0xffffffff, 0, BIG, 0, zeroes },
                { "a part of it", false, COPIED | 4 * BIG, 0xf, 0, BIG, 0, zeroes },
                { "a place alone", false, COPIED | 4 * BIG, 0, 0, BIG, 0, zeroes },
                { "nothing, over a backing file", true, 0, 0, 0, BIG, 0, zeroes },
                { "zeroes", true, 0, zeroes, 0, BIG, 0, zeroes },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(extended) / sizeof(extended[0]); k++) {
                Opened o;
                print_message("case: %s\n", extended[k].name);
                image_begin(&image, 14, 16 * BIG, true);
                if (extended[k].backing)
                        name_below(&image);
                image_map_extended(&image, 0, extended[k].entry, extended[k].bitmap);
                memset(image.bytes + 4 * BIG, 'b', BIG);
                image_count(&image, 5, 4);
                if (extended[k].entry == 0)
                        image_set_refcount(&image, 4, 0);
                open_or_fail(&image, &o);
                if (extended[k].backing)
                        put_below(&o, 16 * BIG);
                assert_int_equal(node_discard(o.node, extended[k].off, extended[k].len), 0);
                assert_bytes(&o, 0, extended[k].len, extended[k].off);
                assert_sound(&o);
                assert_int_equal(stored(&o, 3 * BIG, 8), extended[k].after);
                assert_int_equal(stored(&o, 3 * BIG + 8, 8), extended[k].bitmap_after);
                image_close(&o);
        }
}

/* An L2 table that is not there is not made, over a backing file it has to be. */
static void test_whole_tables(void **state)
{
        static Image image;

        for (int backing = 0; backing < 2; backing++) {
                Opened o;
                image_begin(&image, 9, 3 * 64 * C, false);
                if (backing)
                        name_below(&image);
                image_count(&image, 4, 4);
                open_or_fail(&image, &o);
                if (backing)
                        put_below(&o, 3 * 64 * C);
                assert_int_equal(node_discard(o.node, 0, 3 * 64 * C), 0);
                assert_bytes(&o, 0, 3 * 64 * C, 0);
                assert_sound(&o);
                assert_int_equal(stored(&o, 2 * C + 8, 8) != 0, backing);
                reopen(&o);
                if (!backing)
                        assert_bytes(&o, 0, 3 * 64 * C, 0);
                image_close(&o);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_entries_afterwards),
                cmocka_unit_test(test_version_2_over_a_backing_file),
                cmocka_unit_test(test_ragged_ranges),
                cmocka_unit_test(test_space_is_given_back),
                cmocka_unit_test(test_a_shared_cluster_stays),
                cmocka_unit_test(test_extended_entries),
                cmocka_unit_test(test_whole_tables),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
