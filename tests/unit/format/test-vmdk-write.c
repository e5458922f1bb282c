/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/mem.h"
#include "tests/unit/format/vmdk-image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        DIGITS = VMDK_IMAGE_DESCRIPTOR + 10 + 4, /* of the CID, behind "version=1\n" */
};

static uint32_t get32(Store *s, uint64_t pos)
{
        uint8_t b[4];

        assert_int_equal(store_read(s, b, sizeof(b), pos), 0);
        return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint64_t size_of(Store *s)
{
        uint64_t size = 0;

        assert_int_equal(store_get_size(s, &size), 0);
        return size;
}

static void get_text(Store *s, char text[1024])
{
        memset(text, 0, 1024);
        assert_int_equal(store_read(s, text, 1023, VMDK_IMAGE_DESCRIPTOR), 0);
}

static void assert_no_damage(const VmdkOpened *o)
{
        CheckReport report = { 0 };

        assert_int_equal(node_check(o->node, &report), 0);
        assert_int_equal(report.corruptions, 0);
        assert_int_equal(report.leaks, 0);
}

/* A new grain goes to the end of the file; its entries follow with the next flush, in both tables. */
static void test_a_new_grain(void **state)
{
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        i.len = VMDK_IMAGE_GRAINS;
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        assert_int_equal(o.node->granule, 4096);
        assert_int_equal(node_write(o.node, "abc", 3, 17 * 4096 + 5), 0);
        assert_int_equal(get32(o.store, VMDK_IMAGE_GT + 512 + 4), 0);
        assert_int_equal(size_of(o.store), VMDK_IMAGE_GRAINS + 4096);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(get32(o.store, VMDK_IMAGE_GT + 512 + 4), 16);
        assert_int_equal(get32(o.store, VMDK_IMAGE_RGT + 512 + 4), 16);
        assert_no_damage(&o);
        vmdk_opened_done(&o);
}

/* Grains in a row, as far as one table goes. */
static void test_grains_in_a_row(void **state)
{
        static const uint8_t bytes[10 * 4096] = { 1 };
        VmdkImage i;
        VmdkOpened o;
        Extent e;

        vmdk_image_begin(&i, 40);
        i.len = VMDK_IMAGE_GRAINS;
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        assert_int_equal(node_write(o.node, bytes, sizeof(bytes), 12 * 4096), 0);
        assert_int_equal(o.node->format->map(o.node, 12 * 4096, 20 * 4096, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(e.len, sizeof(bytes));
        assert_true(e.in_place);
        assert_int_equal(node_flush(o.node), 0);
        assert_no_damage(&o);
        vmdk_opened_done(&o);
}

static void test_the_content_id_changes_once(void **state)
{
        char before[1024], after[1024];
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 16);
        i.len = VMDK_IMAGE_GRAINS + 4096;
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        get_text(o.store, before);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(node_zero(o.node, 4096, 4096), 0);
        get_text(o.store, after);
        assert_string_equal(before, after);

        assert_int_equal(node_write(o.node, "a", 1, 0), 0);
        get_text(o.store, after);
        assert_string_not_equal(before, after);
        assert_int_equal(strlen(before), strlen(after));
        /* ddb.longContentID ends like it. */
        char *digits = strstr(after, "CID="), *end = strstr(after, "01234567");
        assert_non_null(digits);
        assert_non_null(end);
        assert_memory_equal(digits + 4, end + 24, 8);
        /* Nothing else is other than before. */
        memcpy(digits + 4, "1234abcd", 8);
        memcpy(end + 24, "1234abcd", 8);
        assert_string_equal(before, after);

        get_text(o.store, before);
        assert_int_equal(node_write(o.node, "b", 1, 9 * 4096), 0);
        assert_int_equal(node_flush(o.node), 0);
        get_text(o.store, after);
        assert_string_equal(before, after);
        vmdk_opened_done(&o);
}

/* A directory without a table gets one, and the redundant directory its own. */
static void test_a_new_table(void **state)
{
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        vmdk_image_put(&i, VMDK_IMAGE_GD + 4, 4, 0);
        vmdk_image_put(&i, VMDK_IMAGE_RGD + 4, 4, 0);
        i.len = VMDK_IMAGE_GRAINS;
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        assert_int_equal(node_write(o.node, "a", 1, 16 * 4096), 0);
        assert_int_equal(get32(o.store, VMDK_IMAGE_GD + 4), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(get32(o.store, VMDK_IMAGE_RGD + 4), 16);
        assert_int_equal(get32(o.store, VMDK_IMAGE_GD + 4), 17);
        assert_int_equal(get32(o.store, 16 * 512), 24);
        assert_int_equal(get32(o.store, 17 * 512), 24);
        assert_no_damage(&o);
        vmdk_opened_done(&o);
}

/* Nothing below: what is discarded is given back where it lies. */
static void test_discarding(void **state)
{
        uint8_t bytes[4096];
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 16);
        memset(i.bytes + VMDK_IMAGE_GRAINS, 'x', 4096);
        i.len = VMDK_IMAGE_GRAINS + 4096;
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        assert_int_equal(node_discard(o.node, 0, 40 * 4096), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(get32(o.store, VMDK_IMAGE_GT), 16);
        assert_int_equal(node_read(o.node, bytes, sizeof(bytes), 0), 0);
        for (size_t k = 0; k < sizeof(bytes); k++)
                assert_int_equal(bytes[k], 0);
        assert_int_equal(size_of(o.store), VMDK_IMAGE_GRAINS + 4096);
        assert_no_damage(&o);
        vmdk_opened_done(&o);
}

/* The last grain of a disk is longer than the disk. */
static void test_the_last_grain(void **state)
{
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 3);
        vmdk_image_put(&i, 12, 8, 2 * 8 + 3);
        i.len = VMDK_IMAGE_GRAINS;
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        assert_int_equal(node_write(o.node, "a", 1, 2 * 4096 + 3 * 512 - 1), 0);
        assert_int_equal(node_write(o.node, "a", 1, 2 * 4096 + 3 * 512), -ENOSPC);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(size_of(o.store), VMDK_IMAGE_GRAINS + 4096);
        assert_no_damage(&o);
        vmdk_opened_done(&o);
}

/* Entries have 32 bits, and count sectors. */
static void test_a_file_has_an_end(void **state)
{
        VmdkImage i;
        VmdkOpened o;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 16);
        vmdk_image_open(&i, VMDK_WRITABLE, &o);
        mem_store_set_limit(o.store, VMDK_IMAGE_LEN + 4096);
        assert_int_equal(node_write(o.node, "a", 1, 4096), 0);
        assert_int_equal(node_write(o.node, "a", 1, 8192), -ENOSPC);
        assert_int_equal(node_flush(o.node), 0);
        vmdk_opened_done(&o);
}

static void refuse(const VmdkImage *i, int code, const char *words)
{
        VmdkOpened o;

        vmdk_image_try(i, VMDK_WRITABLE, &o);
        if (o.r != -code || !strstr(o.err.text, words))
                fail_msg("%d: %s", o.r, o.err.text);
        vmdk_opened_done(&o);
        /* To be read it opens all the same. */
        vmdk_image_open(i, VMDK_READ_ONLY, &o);
        vmdk_opened_done(&o);
}

static void test_what_is_not_written_to(void **state)
{
        VmdkImage i;

        vmdk_image_begin(&i, 40);
        vmdk_image_put(&i, 28, 8, 0);
        refuse(&i, EROFS, "no descriptor");
        vmdk_image_begin(&i, 40);
        vmdk_image_put(&i, 4, 4, 3);
        refuse(&i, EROFS, "version 3");
        vmdk_image_begin(&i, 40);
        memcpy(strstr((char *)i.bytes + VMDK_IMAGE_DESCRIPTOR, "RW "), "rdonly 8 SPARSE \"x\"\n\0",
               21);
        refuse(&i, EROFS, "RDONLY");
        vmdk_image_begin(&i, 40);
        strcat((char *)i.bytes + VMDK_IMAGE_DESCRIPTOR, "changeTrackPath=\"x\"\n");
        refuse(&i, EROFS, "changeTrackPath");
}

static void test_damage_is_not_written_to(void **state)
{
        VmdkImage i;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 3, 0xffff);
        refuse(&i, EUCLEAN, "grain 3 at 0x1fffe00 lies past the end");
        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 3, 24);
        vmdk_image_map(&i, 20, 24);
        refuse(&i, EUCLEAN, "grain 20 at 0x3000 is another one as well");
        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 3, 8);
        refuse(&i, EUCLEAN, "over metadata");
        vmdk_image_begin(&i, 40);
        vmdk_image_put(&i, VMDK_IMAGE_GD + 4, 4, 10);
        refuse(&i, EUCLEAN, "grain table 1 at 0x1400 lies over other metadata");
        vmdk_image_begin(&i, 40);
        vmdk_image_put(&i, VMDK_IMAGE_RGD + 4, 4, 1);
        refuse(&i, EUCLEAN, "redundant grain table 1 at 0x200 lies over other metadata");
        vmdk_image_begin(&i, 40);
        vmdk_image_put(&i, VMDK_IMAGE_GD + 4, 4, 0x7fffffff);
        refuse(&i, EUCLEAN, "entry 1 of the grain directory");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_new_grain),
                cmocka_unit_test(test_grains_in_a_row),
                cmocka_unit_test(test_the_content_id_changes_once),
                cmocka_unit_test(test_a_new_table),
                cmocka_unit_test(test_discarding),
                cmocka_unit_test(test_the_last_grain),
                cmocka_unit_test(test_a_file_has_an_end),
                cmocka_unit_test(test_what_is_not_written_to),
                cmocka_unit_test(test_damage_is_not_written_to),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
