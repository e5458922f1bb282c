/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ZERO UINT64_C(1)
#define COPIED IMAGE_COPIED

static int map(Opened *o, uint64_t off, uint64_t len, Extent *ret)
{
        return o->node->format->map(o->node, off, len, ret);
}

typedef struct Case {
        const char *name;
        uint64_t entry; /* of guest cluster 1, clusters of 512 bytes */
        int r;
        ExtentKind kind;
        uint64_t pos;
        bool in_place;
        unsigned version; /* 0: 3 */
} Case;

static const Case plain[] = {
        { "nothing", 0, 0, EXTENT_BELOW },
        { "nothing, COPIED", COPIED, 0, EXTENT_BELOW },
        { "data", 0x2000 | COPIED, 0, EXTENT_DATA, 0x2000, true },
        { "data, shared", 0x2000, 0, EXTENT_DATA, 0x2000, false },
        { "data past the end of the file", 0xfffffffffffe00 | COPIED, 0, EXTENT_DATA,
          0xfffffffffffe00, true },
        { "data, version 2", 0x2000 | COPIED, 0, EXTENT_DATA, 0x2000, true, 2 },
        { "zero", ZERO, 0, EXTENT_HOLE },
        { "zero with a place", 0x2000 | COPIED | ZERO, 0, EXTENT_HOLE },
        { "zero in version 2", ZERO, -EIO, 0, 0, false, 2 },
        { "zero with a place in version 2", 0x2000 | ZERO, -EIO, 0, 0, false, 2 },
        { "reserved bit 1", 0x2002, -EIO },
        { "reserved bit 8", 0x2100, -EIO },
        { "reserved bit 56", 0x2000 | UINT64_C(1) << 56, -EIO },
        { "reserved bit 61", UINT64_C(1) << 61, -EIO },
        { "coded", IMAGE_COMPRESSED | 0x2001, 0, EXTENT_CODED },
        { "coded, COPIED", IMAGE_COMPRESSED | COPIED | 0x2001, 0, EXTENT_CODED },
};

static void test_plain_entries(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
                const Case *c = &plain[i];
                Extent e = { 0 };
                Opened o;

                image_begin(&image, 9, 2048, false);
                if (c->version)
                        image_put(&image, IMAGE_VERSION, 4, c->version);
                image_map(&image, 0, IMAGE_COMPRESSED);
                image_map(&image, 1, c->entry);
                image_map(&image, 2, IMAGE_COMPRESSED);
                image_open(&image, NULL, NULL, &o);
                assert_int_equal(o.r, 0);
                int r = map(&o, 700, 1000, &e);
                if (r != c->r || (r == 0 && e.kind != c->kind))
                        print_message("%s: %d, kind %d\n", c->name, r, e.kind);
                assert_int_equal(r, c->r);
                if (r == 0) {
                        assert_int_equal(e.kind, c->kind);
                        assert_int_equal(e.off, 512);
                        assert_int_equal(e.len, 512);
                        assert_int_equal(e.pos, c->pos);
                        assert_int_equal(e.in_place, c->in_place);
                }
                if (r == 0 && e.kind == EXTENT_DATA)
                        assert_ptr_equal(e.store, o.node->store);
                if (r == 0 && e.kind == EXTENT_CODED)
                        assert_int_equal(e.cookie, c->entry);
                image_close(&o);
        }
}

static void test_misaligned_places(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        image_begin(&image, 12, 8192, false);
        image_map(&image, 0, 0x5200 | COPIED);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 0, 1, &e), -EIO);
        assert_int_equal(map(&o, 4096, 1, &e), 0);
        image_close(&o);

        /* Of the table: nothing behind it can be found. */
        image_begin(&image, 12, 8192, false);
        image_put(&image, 2 * image.cluster, 8, 0x3200 | COPIED);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 4096, 1, &e), -EIO);
        image_close(&o);

        image_put(&image, 2 * image.cluster, 8, 0x3000 | UINT64_C(1) << 62);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 4096, 1, &e), -EIO);
        image_close(&o);
}

typedef struct Sub {
        const char *name;
        uint64_t entry, bitmap;
        uint64_t at; /* in guest cluster 1 of 16 KiB: subclusters of 512 */
        int r;
        ExtentKind kind;
        uint64_t off, len, pos;
} Sub;

static const Sub extended[] = {
        { "nothing", 0, 0, 0, 0, EXTENT_BELOW, 16384, 16384 },
        { "nothing, from the middle", 0, 0, 700, 0, EXTENT_BELOW, 16896, 15872 },
        { "a place, nothing in it", 0x14000 | COPIED, 0, 0, 0, EXTENT_BELOW, 16384, 16384 },
        { "all data", 0x14000 | COPIED, 0xffffffff, 0, 0, EXTENT_DATA, 16384, 16384, 0x14000 },
        { "all zero", 0, UINT64_C(0xffffffff) << 32, 0, 0, EXTENT_HOLE, 16384, 16384 },
        { "zero with a place", 0x14000, UINT64_C(0xffffffff) << 32, 0, 0, EXTENT_HOLE, 16384,
          16384 },
        { "data 2 and 3", 0x14000, 0xc, 1500, 0, EXTENT_DATA, 17408, 1024, 0x14400 },
        { "before data 2 and 3", 0x14000, 0xc, 0, 0, EXTENT_BELOW, 16384, 1024 },
        { "behind data 2 and 3", 0x14000, 0xc, 2048, 0, EXTENT_BELOW, 18432, 14336 },
        { "data, zero at 1", 0x14000, 0x2fffffffd, 0, 0, EXTENT_DATA, 16384, 512, 0x14000 },
        { "zero at 1", 0x14000, 0x2fffffffd, 512, 0, EXTENT_HOLE, 16896, 512 },
        { "data behind zero", 0x14000, 0x2fffffffd, 1024, 0, EXTENT_DATA, 17408, 15360, 0x14400 },
        { "the last subcluster", 0x14000, 0x80000000, 16383, 0, EXTENT_DATA, 32256, 512, 0x17e00 },
        { "both bits elsewhere", 0x14000, 0x8000000080000000, 0, -EIO },
        { "data without a place", 0, 1, 1024, -EIO },
        { "zero bit of a plain entry", 0x14001, 0xffffffff, 0, -EIO },
        { "coded", IMAGE_COMPRESSED | 0x14000, 0, 700, 0, EXTENT_CODED, 16384, 16384 },
        { "coded, bitmap ignored", IMAGE_COMPRESSED, 0xffff, 700, 0, EXTENT_CODED, 16384, 16384 },
};

static void test_extended_entries(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(extended) / sizeof(extended[0]); i++) {
                const Sub *c = &extended[i];
                Extent e = { 0 };
                Opened o;

                image_begin(&image, 14, 65536, true);
                image_map_extended(&image, 1, c->entry, c->bitmap);
                image_map_extended(&image, 2, IMAGE_COMPRESSED, 0);
                image_open(&image, NULL, NULL, &o);
                assert_int_equal(o.r, 0);
                int r = map(&o, 16384 + c->at, 49152 - c->at, &e);
                if (r != c->r || (r == 0 && (e.kind != c->kind || e.len != c->len)))
                        print_message("%s: %d, kind %d, off %" PRIu64 ", len %" PRIu64 "\n",
                                      c->name, r, e.kind, e.off, e.len);
                assert_int_equal(r, c->r);
                if (r == 0) {
                        assert_int_equal(e.kind, c->kind);
                        assert_int_equal(e.off, c->off);
                        assert_int_equal(e.len, c->len);
                        assert_int_equal(e.pos, c->pos);
                }
                image_close(&o);
        }
}

static void test_neighbours_become_one(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        image_begin(&image, 9, 32768, false);
        /* Two in a row, one elsewhere, one in a row with it but shared, zeroes of both kinds, damage. */
        image_map(&image, 0, 0x4000 | COPIED);
        image_map(&image, 1, 0x4200 | COPIED);
        image_map(&image, 2, 0x8000 | COPIED);
        image_map(&image, 3, 0x8200);
        image_map(&image, 4, ZERO);
        image_map(&image, 5, 0xa000 | ZERO);
        image_map(&image, 6, ZERO);
        image_map(&image, 7, 0xc002);
        image_open(&image, NULL, NULL, &o);

        assert_int_equal(map(&o, 10, 32000, &e), 0);
        assert_int_equal(e.off, 0);
        assert_int_equal(e.len, 1024);
        assert_int_equal(e.pos, 0x4000);
        assert_int_equal(map(&o, 1024, 32000 - 1024, &e), 0);
        assert_int_equal(e.len, 512);
        assert_int_equal(map(&o, 1536, 1, &e), 0);
        assert_false(e.in_place);
        /* The damage behind is told to whoever reads it. */
        assert_int_equal(map(&o, 2048, 30000, &e), 0);
        assert_int_equal(e.kind, EXTENT_HOLE);
        assert_int_equal(e.len, 1536);
        assert_int_equal(map(&o, 3584, 1, &e), -EIO);
        assert_int_equal(map(&o, 4096, 32768 - 4096, &e), 0);
        assert_int_equal(e.kind, EXTENT_BELOW);
        assert_int_equal(e.len, 32768 - 4096);
        image_close(&o);
}

static void test_a_run_crosses_slices_and_tables(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        /* Three L2 tables of 64 entries; the first and the third are there. */
        image_begin(&image, 9, 3 * 32768, false);
        image_put(&image, 2 * 512 + 16, 8, COPIED | 0x1000);
        for (uint64_t k = 0; k < 64; k++) {
                image_map(&image, k, (0x4000 + k * 512) | COPIED);
                image_put(&image, 0x1000 + 8 * k, 8, (0xc000 + k * 512) | COPIED);
        }
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 0, 3 * 32768, &e), 0);
        assert_int_equal(e.len, 32768);
        assert_int_equal(map(&o, 32768, 65536, &e), 0);
        assert_int_equal(e.kind, EXTENT_BELOW);
        assert_int_equal(e.len, 32768);
        image_close(&o);

        /* Now the second is the third's neighbour on the host, and one extent holds all. */
        image_put(&image, 2 * 512 + 8, 8, COPIED | 0x1000);
        image_put(&image, 2 * 512 + 16, 8, COPIED | 0x1200);
        for (uint64_t k = 0; k < 64; k++)
                image_put(&image, 0x1200 + 8 * k, 8, (0x14000 + k * 512) | COPIED);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 600, 3 * 32768 - 600, &e), 0);
        assert_int_equal(e.off, 512);
        assert_int_equal(e.len, 3 * 32768 - 512);
        assert_int_equal(e.pos, 0x4200);
        image_close(&o);
}

static void test_absent_tables_are_one_hole_with_a_bound(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        image_begin(&image, 9, UINT64_C(32768) * 10000, false);
        image_put(&image, 2 * 512, 8, 0);
        memset(image.bytes + 3 * 512, 0, IMAGE_LEN - 3 * 512);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_int_equal(map(&o, 1, node_get_size(o.node) - 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_BELOW);
        assert_int_equal(e.off, 0);
        assert_int_equal(e.len, UINT64_C(32768) * 4096);
        image_close(&o);
}

static void test_in_place_needs_a_table_of_our_own(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        image_begin(&image, 9, 2048, false);
        image_map(&image, 0, 0x4000 | COPIED);
        image_put(&image, 2 * 512, 8, 3 * 512);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 0, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_false(e.in_place);
        image_close(&o);
}

static void test_tables_past_the_end_are_empty(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        image_begin(&image, 9, 2048, false);
        image_put(&image, 2 * 512, 8, COPIED | UINT64_C(0x10000000));
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 0, 2048, &e), 0);
        assert_int_equal(e.kind, EXTENT_BELOW);
        assert_int_equal(e.len, 2048);
        image_close(&o);
}

static void test_extents_end_with_the_disk(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        image_begin(&image, 16, 66048, false);
        image_map(&image, 0, 0x40000 | COPIED);
        image_map(&image, 1, IMAGE_COMPRESSED | 0x40000);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 0, 66048, &e), 0);
        assert_int_equal(e.len, 65536);
        /* What is coded unpacks to a whole cluster. */
        assert_int_equal(map(&o, 65536, 512, &e), 0);
        assert_int_equal(e.len, 65536);
        image_close(&o);

        image_map(&image, 1, 0x50000 | COPIED);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(map(&o, 0, 66048, &e), 0);
        assert_int_equal(e.len, 66048);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain_entries),
                cmocka_unit_test(test_misaligned_places),
                cmocka_unit_test(test_extended_entries),
                cmocka_unit_test(test_neighbours_become_one),
                cmocka_unit_test(test_a_run_crosses_slices_and_tables),
                cmocka_unit_test(test_absent_tables_are_one_hole_with_a_bound),
                cmocka_unit_test(test_in_place_needs_a_table_of_our_own),
                cmocka_unit_test(test_tables_past_the_end_are_empty),
                cmocka_unit_test(test_extents_end_with_the_disk),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
