/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/check.h"
#include "dmg-image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Heard {
        unsigned count;
        char text[512]; /* the last one */
} Heard;

static void hear(void *arg, const char *text)
{
        Heard *h = arg;

        h->count++;
        strncpy(h->text, text, sizeof(h->text) - 1);
}

/* Results of a check of an image that opens. */
static int check(const DmgImage *i, CheckReport *report, Heard *heard)
{
        _cleanup_cache_ Cache *c = NULL;
        Err err = { "" };

        *heard = (Heard){ 0 };
        *report = (CheckReport){ .tell = hear, .arg = heard };
        assert_int_equal(cache_new(0, &c), 0);
        _cleanup_node_ Node *n = dmg_image_open(i, c, true, &err);
        if (!n)
                fail_msg("%s", err.text);
        return node_check(n, report);
}

static void test_sound(void **state)
{
        static DmgImage i;
        CheckReport report;
        Heard heard;

        dmg_image_make(&i);
        assert_int_equal(check(&i, &report, &heard), 0);
        if (report.corruptions > 0)
                fail_msg("%s", heard.text);
        assert_int_equal(heard.count, 0);
        assert_int_equal(report.image_end, i.len);
}

typedef struct Case {
        const char *name;
        enum {
                AT_FILE,
                AT_BLOCK,
                AT_OTHER_BLOCK,
                AT_TRAILER,
        } from;
        size_t at, size;
        uint64_t value;
        unsigned corruptions, heard;
        const char *words;
} Case;

static const Case cases[] = {
        { "a byte of the fork", AT_FILE, 7, 1, 0xee, 2, 2, "block at sector 0 has the CRC" },
        { "a packed byte", AT_FILE, DMG_IMAGE_PACKED_AT + 3, 1, 0xee, 2, 2,
          "sector 6 cannot be unpacked" },
        { "the sum of the fork", AT_TRAILER, 88, 4, 1, 1, 1, "data fork has the CRC" },
        { "no sum of the fork", AT_TRAILER, 80, 4, 0, 0, 0, "" },
        { "another sum of the fork", AT_TRAILER, 80, 4, 3, 0, 1, "data fork is of type 3" },
        { "the sum of the sums", AT_TRAILER, 360, 4, 1, 1, 1,
          "checksums of the blocks have the CRC" },
        { "no sum of the sums", AT_TRAILER, 352, 4, 0, 0, 0, "" },
        { "the sum of a block", AT_OTHER_BLOCK, 72, 4, 1, 2, 2, "checksums of the blocks" },
        { "no sum of a block", AT_BLOCK, 64, 4, 0, 1, 1, "checksums of the blocks" },
        { "more sectors of a block", AT_OTHER_BLOCK, 16, 8, 3, 0, 0, "" },
        { "fewer sectors of a block", AT_BLOCK, 16, 8, 7, 1, 1, "block at sector 0" },
};

static void test_cases(void **state)
{
        static DmgImage i;
        CheckReport report;
        Heard heard;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                const Case *c = &cases[k];
                dmg_image_make(&i);
                size_t from[] = { 0, i.block_at, i.other_block_at, i.trailer_at };
                dmg_image_put(&i, from[c->from] + c->at, c->size, c->value);
                int r = check(&i, &report, &heard);
                if (r != 0 || report.corruptions != c->corruptions || heard.count != c->heard ||
                    !strstr(heard.text, c->words))
                        fail_msg("%s: %d, %llu corruptions, %u heard, last '%s'", c->name, r,
                                 (unsigned long long)report.corruptions, heard.count, heard.text);
        }
}

/* Blocks that all claim the same bytes would make a check as long as there are blocks. */
static void test_blocks_over_each_other(void **state)
{
        static DmgImage i;
        CheckReport report;
        Heard heard;

        dmg_image_make(&i);
        dmg_image_put(&i, i.other_block_at + 8, 8, 0);
        dmg_image_put(&i, i.other_block_at + 16, 8, 9);
        dmg_image_put(&i, i.other_block_at + 204 + 8, 8, 8);
        assert_int_equal(check(&i, &report, &heard), -EBADMSG);
        assert_non_null(strstr(report.err.text, "over each other"));
}

/* 2 EiB of zeroes are no work. */
static void test_many_zeroes(void **state)
{
        static DmgImage i;
        CheckReport report;
        Heard heard;

        dmg_image_make(&i);
        dmg_image_put(&i, i.trailer_at + 492, 8, UINT64_C(1) << 52);
        dmg_image_put(&i, i.other_block_at + 16, 8, UINT64_C(1) << 51);
        assert_int_equal(check(&i, &report, &heard), 0);
        assert_int_equal(report.corruptions, 1);
}

static void test_reads(void **state)
{
        static DmgImage i;
        static uint8_t buf[sizeof(i.guest)];
        _cleanup_cache_ Cache *c = NULL;
        Err err = { "" };

        dmg_image_make(&i);
        assert_int_equal(cache_new(0, &c), 0);
        _cleanup_node_ Node *n = dmg_image_open(&i, c, false, &err);
        if (!n)
                fail_msg("%s", err.text);
        assert_int_equal(node_get_size(n), sizeof(buf));
        assert_int_equal(node_read(n, buf, sizeof(buf), 0), 0);
        assert_memory_equal(buf, i.guest, sizeof(buf));
        uint64_t off = 0;
        assert_int_equal(node_find(n, NODE_FIND_HOLE, 0, &off), 0);
        assert_int_equal(off, 2 * 512);
        assert_int_equal(node_find(n, NODE_FIND_DATA, off, &off), 0);
        assert_int_equal(off, 6 * 512);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sound),
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_blocks_over_each_other),
                cmocka_unit_test(test_many_zeroes),
                cmocka_unit_test(test_reads),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
