/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include "block/info.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        TABLE = 0x10000, /* the snapshot table; clusters of 512 bytes */
        SNAPSHOT_L1 = 0x8000,
        SNAPSHOT_L2 = 0x8200,
};

/* Places of fields in a snapshot of the table. */
enum {
        L1_OFFSET = 0,
        L1_SIZE = 8,
        ID_SIZE = 12,
        NAME_SIZE = 14,
        DATE_SEC = 16,
        DATE_NSEC = 20,
        VM_CLOCK = 24,
        VM_STATE = 32,
        EXTRA_SIZE = 36,
        EXTRA = 40,
};

/* Appends a snapshot at `at` and gives the place behind it. */
static uint64_t put_snapshot(
        Image *i, uint64_t at, const char *id, const char *name, uint32_t extra, uint64_t size)
{
        image_put(i, at + L1_OFFSET, 8, SNAPSHOT_L1);
        image_put(i, at + L1_SIZE, 4, (size + 32767) / 32768);
        image_put(i, at + ID_SIZE, 2, strlen(id));
        image_put(i, at + NAME_SIZE, 2, strlen(name));
        image_put(i, at + DATE_SEC, 4, 1700000000);
        image_put(i, at + DATE_NSEC, 4, 5);
        image_put(i, at + VM_CLOCK, 8, 6000000000);
        image_put(i, at + VM_STATE, 4, 7);
        image_put(i, at + EXTRA_SIZE, 4, extra);
        if (extra >= 8)
                image_put(i, at + EXTRA, 8, UINT64_C(5) << 32);
        if (extra >= 16)
                image_put(i, at + EXTRA + 8, 8, size);
        if (extra >= 24)
                image_put(i, at + EXTRA + 16, 8, 99);
        at += EXTRA + extra;
        image_put_bytes(i, at, id, strlen(id));
        at += strlen(id);
        image_put_bytes(i, at, name, strlen(name));
        at += strlen(name);
        return (at + 7) / 8 * 8;
}

/* Active disk: 0x11 in cluster 0. Snapshots, which share a table: 0x22. The id of one is the name of another. */
static uint64_t begin(Image *i)
{
        image_begin(i, 9, 32768, false);
        image_map(i, 0, IMAGE_COPIED | 0x4000);
        memset(i->bytes + 0x4000, 0x11, 512);
        image_put(i, SNAPSHOT_L1, 8, SNAPSHOT_L2);
        image_put(i, SNAPSHOT_L2, 8, IMAGE_COPIED | 0x4200);
        memset(i->bytes + 0x4200, 0x22, 512);

        image_put(i, IMAGE_NB_SNAPSHOTS, 4, 3);
        image_put(i, IMAGE_SNAPSHOTS_OFFSET, 8, TABLE);
        uint64_t at = put_snapshot(i, TABLE, "1", "2", 24, 16384);
        at = put_snapshot(i, at, "2", "one more", 16, 20480);
        return put_snapshot(i, at, "33", "one more", 40, 32768);
}

static void test_id_comes_before_name(void **state)
{
        static const struct {
                const char *wanted;
                uint64_t size;
        } wanted[] = {
                { "1", 16384 },
                { "2", 20480 },
                { "33", 32768 },
                { "one more", 20480 },
        };
        static Image image;

        begin(&image);
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
                uint8_t byte = 0;
                Opened o;

                image_open(&image, wanted[i].wanted, NULL, &o);
                assert_int_equal(o.r, 0);
                assert_int_equal(node_get_size(o.node), wanted[i].size);
                assert_int_equal(node_read(o.node, &byte, 1, 0), 0);
                assert_int_equal(byte, 0x22);
                image_close(&o);
        }
}

static void test_without_one_the_disk_is_shown(void **state)
{
        static Image image;
        uint8_t byte = 0;
        Opened o;

        begin(&image);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_int_equal(node_get_size(o.node), 32768);
        assert_int_equal(node_read(o.node, &byte, 1, 0), 0);
        assert_int_equal(byte, 0x11);
        image_close(&o);
}

static void test_copied_means_nothing_in_a_snapshot(void **state)
{
        static Image image;
        Extent e;
        Opened o;

        begin(&image);
        image_put(&image, SNAPSHOT_L1, 8, IMAGE_COPIED | SNAPSHOT_L2);
        image_open(&image, "1", NULL, &o);
        assert_int_equal(o.node->format->map(o.node, 0, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_false(e.in_place);
        image_close(&o);
}

static void test_what_there_is_is_told(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_open(&image, "3", NULL, &o);
        assert_int_equal(o.r, -ENOENT);
        assert_string_equal(o.err.text, "qcow2: there is no snapshot '3'; the image has 3: 1 (2), "
                                        "2 (one more), 33 (one more)");
        image_close(&o);

        image_put(&image, IMAGE_NB_SNAPSHOTS, 4, 0);
        image_open(&image, "3", NULL, &o);
        assert_int_equal(o.r, -ENOENT);
        assert_string_equal(o.err.text, "qcow2: there is no snapshot '3': the image has none");
        image_close(&o);
}

static void test_many_are_counted_not_listed(void **state)
{
        static Image image;
        uint64_t at = TABLE;
        Opened o;

        begin(&image);
        image_put(&image, IMAGE_NB_SNAPSHOTS, 4, 30);
        for (int i = 0; i < 30; i++)
                at = put_snapshot(&image, at, "1", "with a name of some length", 16, 512);
        image_open(&image, "x", NULL, &o);
        assert_int_equal(o.r, -ENOENT);
        assert_non_null(strstr(o.err.text, "the image has 30: 1 (with a name of some length), 1"));
        assert_non_null(strstr(o.err.text, "length), …"));
        image_close(&o);
}

typedef struct Case {
        const char *name;
        uint64_t pos; /* in the first snapshot */
        unsigned width;
        uint64_t value;
        const char *wanted;
        int r;
        const char *words;
} Case;

static const Case cases[] = {
        { "extra data of 1025", EXTRA_SIZE, 4, 1025, NULL, -EFBIG, "extra_data_size 1025 is more" },
        { "extra data of 15", EXTRA_SIZE, 4, 15, NULL, -EBADMSG, "extra_data_size 15 is less" },
        { "id past the end", ID_SIZE, 2, 65535, NULL, 0, NULL },
        { "NUL in the id", EXTRA + 24, 1, 0, NULL, -EBADMSG, "the id of snapshot 0 has a NUL" },
        { "NUL in the name", EXTRA + 25, 1, 0, NULL, -EBADMSG, "the name of snapshot 0 has a NUL" },
        { "L1 table misaligned", L1_OFFSET, 8, 0x8008, "1", -EBADMSG,
          "l1_table_offset 32776 of the snapshot is not a multiple" },
        { "L1 table misaligned, not wanted", L1_OFFSET, 8, 0x8008, "2", 0, NULL },
        { "L1 table too large", L1_SIZE, 4, (1 << 22) + 1, "1", -EFBIG,
          "l1_size 4194305 of the snapshot" },
        { "L1 table too small", L1_SIZE, 4, 0, "1", -EBADMSG, "l1_size 0 of the snapshot is less" },
        { "L1 table past the end", L1_OFFSET, 8, IMAGE_LEN, "1", -ENODATA,
          "L1 table of the snapshot" },
        { "disk too large", EXTRA + 8, 8, UINT64_MAX, "1", -EFBIG,
          "size 18446744073709551615 of the snapshot" },
};

static void test_each_field_is_checked(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                Opened o;

                /* The id of 65535 bytes reaches over the other two, so it has to be without NUL. */
                begin(&image);
                if (c->width == 2) {
                        memset(image.bytes + TABLE + EXTRA + 24, 'x', 80000);
                        image_put(&image, IMAGE_NB_SNAPSHOTS, 4, 1);
                }
                image_put(&image, TABLE + c->pos, c->width, c->value);
                image_open(&image, c->wanted, NULL, &o);
                if (o.r != c->r || (c->words && !strstr(o.err.text, c->words)))
                        print_message("%s: %d, '%s'\n", c->name, o.r, o.err.text);
                assert_int_equal(o.r, c->r);
                if (c->words)
                        assert_non_null(strstr(o.err.text, c->words));
                image_close(&o);
        }
}

static void test_padding_behind_the_last_may_be_missing(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_put(&image, IMAGE_NB_SNAPSHOTS, 4, 1);
        image.len = TABLE + EXTRA + 24 + 2;
        image_open(&image, "1", NULL, &o);
        assert_int_equal(o.r, 0);
        image_close(&o);

        image.len--;
        image_open(&image, "1", NULL, &o);
        assert_int_equal(o.r, -ENODATA);
        assert_non_null(strstr(o.err.text, "the file ends within snapshot 0 of 1"));
        image_close(&o);
}

static void test_version_2_needs_no_extra_data(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_put(&image, IMAGE_VERSION, 4, 2);
        image_put(&image, IMAGE_NB_SNAPSHOTS, 4, 1);
        memset(image.bytes + TABLE, 0, 256);
        put_snapshot(&image, TABLE, "1", "old", 0, 32768);
        image_open(&image, "old", NULL, &o);
        assert_int_equal(o.r, 0);
        assert_int_equal(node_get_size(o.node), 32768);
        image_close(&o);

        image_put(&image, IMAGE_VERSION, 4, 3);
        image_open(&image, "old", NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        image_close(&o);
}

static void test_they_are_described(void **state)
{
        static Image image;
        Info info = { 0 };
        Opened o;

        begin(&image);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.node->format->describe(o.node, &info), 0);
        assert_int_equal(info.snapshot_count, 3);
        assert_string_equal(info.snapshots[0].id, "1");
        assert_string_equal(info.snapshots[0].name, "2");
        assert_int_equal(info.snapshots[0].vm_state_size, UINT64_C(5) << 32);
        assert_int_equal(info.snapshots[0].date_sec, 1700000000);
        assert_int_equal(info.snapshots[0].date_nsec, 5);
        assert_int_equal(info.snapshots[0].vm_clock_nsec, 6000000000);
        assert_true(info.snapshots[0].has_icount);
        assert_int_equal(info.snapshots[0].icount, 99);
        assert_int_equal(info.snapshots[0].disk_size, 16384);
        assert_false(info.snapshots[1].has_icount);
        assert_string_equal(info.snapshots[2].id, "33");
        info_done(&info);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_id_comes_before_name),
                cmocka_unit_test(test_without_one_the_disk_is_shown),
                cmocka_unit_test(test_copied_means_nothing_in_a_snapshot),
                cmocka_unit_test(test_what_there_is_is_told),
                cmocka_unit_test(test_many_are_counted_not_listed),
                cmocka_unit_test(test_each_field_is_checked),
                cmocka_unit_test(test_padding_behind_the_last_may_be_missing),
                cmocka_unit_test(test_version_2_needs_no_extra_data),
                cmocka_unit_test(test_they_are_described),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
