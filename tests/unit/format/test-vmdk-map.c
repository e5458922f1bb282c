/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/shelf.h"
#include "format/vmdk/vmdk.h"
#include "store/mem.h"
#include "tests/unit/format/vmdk-image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_map(Node *n, uint64_t off, uint64_t len, Extent wanted)
{
        Extent e = { 0 };

        assert_int_equal(n->format->map(n, off, len, &e), 0);
        assert_int_equal(e.kind, wanted.kind);
        assert_int_equal(e.off, wanted.off);
        assert_int_equal(e.len, wanted.len);
        if (wanted.kind == EXTENT_DATA)
                assert_int_equal(e.pos, wanted.pos);
}

static void assert_damaged(Node *n, uint64_t off)
{
        Extent e = { 0 };

        assert_int_equal(n->format->map(n, off, 512, &e), -EIO);
}

static void test_neighbours_become_one(void **state)
{
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 24);
        vmdk_image_map(&i, 1, 32);
        vmdk_image_map(&i, 2, 48);
        vmdk_image_map(&i, 5, 1);
        vmdk_image_map(&i, 6, 1);
        vmdk_image_open(&i, VMDK_READ_ONLY, &o);
        assert_map(o.node, 0, 40 * 4096, (Extent){ EXTENT_DATA, 0, 8192, .pos = 24 * 512 });
        assert_map(o.node, 4096, 512, (Extent){ EXTENT_DATA, 4096, 4096, .pos = 32 * 512 });
        assert_map(o.node, 8192, 40 * 4096, (Extent){ EXTENT_DATA, 8192, 4096, .pos = 48 * 512 });
        assert_map(o.node, 3 * 4096, 40 * 4096, (Extent){ EXTENT_BELOW, 3 * 4096, 2 * 4096 });
        assert_map(o.node, 5 * 4096, 40 * 4096, (Extent){ EXTENT_HOLE, 5 * 4096, 2 * 4096 });
        /* Across tables of 16 entries, and tables that are not there, to the end of the disk. */
        assert_map(o.node, 7 * 4096, 33 * 4096, (Extent){ EXTENT_BELOW, 7 * 4096, 33 * 4096 });
        vmdk_opened_done(&o);
}

static void test_damage_is_told_where_it_is(void **state)
{
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 24);
        vmdk_image_map(&i, 1, 0xffffffff);
        vmdk_image_map(&i, 2, 40);
        vmdk_image_put(&i, VMDK_IMAGE_FLAGS, 4, 3);
        vmdk_image_map(&i, 4, 1);
        vmdk_image_open(&i, VMDK_READ_ONLY, &o);
        assert_map(o.node, 0, 40 * 4096, (Extent){ EXTENT_DATA, 0, 4096, .pos = 24 * 512 });
        assert_damaged(o.node, 4096);
        assert_map(o.node, 8192, 4096, (Extent){ EXTENT_DATA, 8192, 4096, .pos = 40 * 512 });
        assert_damaged(o.node, 4 * 4096);
        vmdk_opened_done(&o);
}

static void test_without_an_opener_nothing_is_served(void **state)
{
        static const char text[] = "version=1\nCID=1\ncreateType=\"monolithicFlat\"\n"
                                   "RW 8 FLAT \"f\" 0\nRW 8 ZERO\n";
        VmdkOpened o = { 0 };

        assert_int_equal(mem_store_new(text, strlen(text), &o.store), 0);
        vmdk_store_open(VMDK_READ_ONLY, NULL, &o);
        assert_int_equal(o.node->size, 8192);
        assert_damaged(o.node, 0);
        assert_map(o.node, 5000, 512, (Extent){ EXTENT_HOLE, 4096, 4096 });
        vmdk_opened_done(&o);
}

static void test_extents_follow_each_other(void **state)
{
        static const char text[] =
                "version=1\nCID=1\ncreateType=\"twoGbMaxExtentFlat\"\n"
                "RW 8 FLAT \"f\" 1\nRW 1 ZERO\nNOACCESS 2 FLAT \"nowhere\" 0\nRW 4 FLAT \"f\" 9\n"
                "RW 8 FLAT \"f\" 13\n";
        static const uint8_t bytes[16 * 512];
        VmdkOpened o = { 0 };
        Store *s = NULL;
        Shelf shelf;

        shelf_init(&shelf);
        assert_int_equal(mem_store_new(bytes, sizeof(bytes), &s), 0);
        assert_int_equal(shelf_put(&shelf, "f", 0, s), 0);
        assert_int_equal(mem_store_new(text, strlen(text), &o.store), 0);
        vmdk_store_open(VMDK_READ_ONLY, &shelf.opener, &o);
        assert_int_equal(shelf.opened, 1);
        assert_int_equal(o.node->size, 23 * 512);
        assert_map(o.node, 0, 23 * 512, (Extent){ EXTENT_DATA, 0, 4096, .pos = 512 });
        assert_map(o.node, 4096, 512, (Extent){ EXTENT_HOLE, 4096, 512 });
        assert_damaged(o.node, 9 * 512);
        assert_map(o.node, 12 * 512, 512, (Extent){ EXTENT_DATA, 11 * 512, 2048, .pos = 9 * 512 });
        /* The file ends after three sectors of it. */
        assert_map(o.node, 15 * 512, 512, (Extent){ EXTENT_DATA, 15 * 512, 1536, .pos = 13 * 512 });
        assert_damaged(o.node, 18 * 512);
        vmdk_opened_done(&o);
        shelf_done(&shelf);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_neighbours_become_one),
                cmocka_unit_test(test_damage_is_told_where_it_is),
                cmocka_unit_test(test_without_an_opener_nothing_is_served),
                cmocka_unit_test(test_extents_follow_each_other),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
