/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/qcow2-writing.h"

#include "block/limits.h"
#include "store/mem.h"

extern const Format format_raw;

enum {
        SPAN = 64 * C, /* what one L2 table maps */
};

/* A disk of two L2 tables of which each maps its first and last cluster. 8: refcount block. */
static void begin(Image *image)
{
        image_begin(image, 9, 2 * SPAN, false);
        image_map(image, 0, COPIED | 4 * C);
        image_map(image, 63, COPIED | 5 * C);
        image_put(image, 2 * C + 8, 8, COPIED | 9 * C);
        image_put(image, 9 * C, 8, COPIED | 6 * C);
        image_put(image, 9 * C + 63 * 8, 8, COPIED | 7 * C);
        for (unsigned i = 0; i < 4; i++)
                memset(image->bytes + (4 + i) * C, 'a' + (int)i, C);
        image_count(image, 8, 4);
        image_set_refcount(image, 9, 1);
        image->len = 10 * C;
}

static void test_growing_and_shrinking(void **state)
{
        static const struct {
                const char *name;
                uint64_t size;
                uint64_t l1_min; /* entries there have to be */
                unsigned gone;   /* bits: which of the four data clusters */
        } cases[] = {
                { "a sector more", 2 * SPAN + 512, 3, 0 },
                { "an L1 table of two clusters", 65 * SPAN, 65, 0 },
                { "much larger", 1000 * SPAN, 1000, 0 },
                { "by the last cluster", 2 * SPAN - C, 2, 8 },
                { "to one table", SPAN, 1, 8 | 4 },
                { "within the first table", 63 * C, 1, 8 | 4 | 2 },
                { "to one cluster", C, 1, 8 | 4 | 2 },
                { "to nothing", 0, 0, 15 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                static const uint64_t where[] = { 0, 63 * C, SPAN, SPAN + 63 * C };
                Opened o;
                print_message("case: %s\n", cases[k].name);
                begin(&image);
                open_or_fail(&image, &o);
                assert_int_equal(node_resize(o.node, cases[k].size), 0);
                assert_int_equal(node_get_size(o.node), cases[k].size);
                assert_sound(&o);
                assert_int_equal(stored(&o, IMAGE_SIZE, 8), cases[k].size);
                assert_true(stored(&o, IMAGE_L1_SIZE, 4) >= cases[k].l1_min);
                for (uint64_t i = 0; i < 4; i++) {
                        bool gone = cases[k].gone >> i & 1;
                        assert_int_equal(stored_refcount(&o, 4 + i), !gone);
                        if (!gone)
                                assert_bytes(&o, (uint8_t)('a' + i), C, where[i]);
                }

                /* And back: what was cut off does not come back, what is new can be written to. */
                assert_int_equal(node_resize(o.node, 2 * SPAN), 0);
                for (uint64_t i = 0; i < 4; i++)
                        assert_bytes(&o, cases[k].gone >> i & 1 ? 0 : (uint8_t)('a' + i), C,
                                     where[i]);
                assert_int_equal(node_resize(o.node, 66 * SPAN), 0);
                write_bytes(&o, '#', 100, 66 * SPAN - 100);
                assert_sound(&o);
                reopen(&o);
                assert_int_equal(node_get_size(o.node), 66 * SPAN);
                assert_bytes(&o, '#', 100, 66 * SPAN - 100);
                assert_bytes(&o, 0, 60 * SPAN, 2 * SPAN);
                image_close(&o);
        }
}

/* Within the last cluster: the bytes behind the new end are zeroes in the file too. */
static void test_a_cut_within_a_cluster(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        open_or_fail(&image, &o);
        assert_int_equal(node_resize(o.node, 512), 0);
        assert_int_equal(node_resize(o.node, SPAN), 0);
        assert_bytes(&o, 'a', C, 0);
        assert_bytes(&o, 0, SPAN - C, C);
        assert_sound(&o);
        image_close(&o);

        image_begin(&image, 12, 64 << 12, false);
        image_map(&image, 0, COPIED | 4 << 12);
        memset(image.bytes + (4 << 12), 'a', 1 << 12);
        image_count(&image, 5, 4);
        open_or_fail(&image, &o);
        assert_int_equal(node_resize(o.node, 1024), 0);
        assert_sound(&o);
        assert_int_equal(stored(&o, (4 << 12) + 1023, 1), 'a');
        assert_int_equal(stored(&o, (4 << 12) + 1024, 1), 0);
        assert_int_equal(stored(&o, (4 << 12) + 4095, 1), 0);
        image_close(&o);
}

/* The header says what a snapshot of version 2 has for a size: it may not change. */
static void test_version_2_with_snapshots(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_put(&image, IMAGE_VERSION, 4, 2);
        image_put(&image, 10 * C, 8, 0);
        image_snapshot(&image, 11 * C, 10 * C);
        image_set_refcount(&image, 10, 1);
        image_set_refcount(&image, 11, 1);
        image.len = 12 * C;
        open_or_fail(&image, &o);
        assert_int_equal(node_resize(o.node, SPAN), -EOPNOTSUPP);
        assert_int_equal(node_resize(o.node, 3 * SPAN), -EOPNOTSUPP);
        assert_int_equal(node_get_size(o.node), 2 * SPAN);
        assert_bytes(&o, 'd', C, SPAN + 63 * C);
        assert_sound(&o);
        assert_int_equal(stored(&o, IMAGE_SIZE, 8), 2 * SPAN);
        image_close(&o);
}

/* Snapshots of version 3 have a size of their own: what they show stays, whatever the disk does. */
static void test_version_3_with_snapshots(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_map(&image, 0, 4 * C);
        image_map(&image, 63, 5 * C);
        image_put(&image, 2 * C, 8, L2 * C);
        image_put(&image, 10 * C, 8, L2 * C);
        image_snapshot(&image, 11 * C, 10 * C);
        image_set_refcount(&image, L2, 2);
        image_set_refcount(&image, 4, 2);
        image_set_refcount(&image, 5, 2);
        image_set_refcount(&image, 10, 1);
        image_set_refcount(&image, 11, 1);
        image.len = 12 * C;
        open_or_fail(&image, &o);
        assert_int_equal(node_resize(o.node, C), 0);
        assert_bytes(&o, 'a', C, 0);
        assert_sound(&o);
        assert_int_equal(stored(&o, 10 * C, 8), L2 * C);
        assert_int_equal(stored(&o, L2 * C, 8), 4 * C);
        assert_int_equal(stored(&o, L2 * C + 63 * 8, 8), 5 * C);
        assert_int_equal(stored(&o, 5 * C, 1), 'b');
        image_close(&o);
}

static void test_sizes_that_cannot_be(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        open_or_fail(&image, &o);
        /* An L1 table of more than 32 MiB. */
        assert_int_equal(node_resize(o.node, ((UINT64_C(4) << 20) + 1) * SPAN), -EFBIG);
        assert_int_equal(node_resize(o.node, LIMIT_DISK_SIZE), -EFBIG);
        assert_int_equal(node_get_size(o.node), 2 * SPAN);
        assert_bytes(&o, 'd', C, SPAN + 63 * C);
        assert_sound(&o);
        image_close(&o);
}

/* Growing over a longer backing file shows zeroes, not what lies behind the old end. */
static void test_growing_over_a_longer_backing_file(void **state)
{
        static uint8_t bytes[4 * SPAN];
        static Image image;
        Store *s = NULL;
        Opened o;

        begin(&image);
        image_put(&image, IMAGE_BACKING_OFFSET, 8, 400);
        image_put(&image, IMAGE_BACKING_SIZE, 4, 1);
        image_put_bytes(&image, 400, "b", 1);
        open_or_fail(&image, &o);
        NodeOptions options = { .cache = o.cache };
        memset(bytes, 'B', sizeof(bytes));
        assert_int_equal(mem_store_new(bytes, sizeof(bytes), &s), 0);
        assert_int_equal(node_open(&format_raw, s, &options, NULL, &o.node->backing, NULL), 0);

        assert_bytes(&o, 'B', C, C);
        assert_int_equal(node_resize(o.node, SPAN - 512), 0);
        assert_int_equal(node_resize(o.node, 5 * SPAN), 0);
        assert_bytes(&o, 'B', C, C);
        assert_bytes(&o, 0, 4 * SPAN + 512, SPAN - 512);
        assert_sound(&o);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_growing_and_shrinking),
                cmocka_unit_test(test_a_cut_within_a_cluster),
                cmocka_unit_test(test_version_2_with_snapshots),
                cmocka_unit_test(test_version_3_with_snapshots),
                cmocka_unit_test(test_sizes_that_cannot_be),
                cmocka_unit_test(test_growing_over_a_longer_backing_file),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
