/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys, their order and when they appear are those that `qemu-img info --output=json` 7.2 was seen to print. */
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
        DIRECTORY = 0x10000, /* of bitmaps; clusters of 512 bytes */
};

static int describe(const Image *i, Info *ret)
{
        Opened o;

        *ret = (Info){ 0 };
        image_open(i, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        int r = o.node->format->describe(o.node, ret);
        image_close(&o);
        return r;
}

/* All facts in one line. */
static void print_facts(const Info *info, char *line, size_t size)
{
        size_t used = 0;

        line[0] = '\0';
        for (size_t i = 0; i < info->fact_count && used < size; i++) {
                const Fact *f = &info->facts[i];
                char number[32];
                snprintf(number, sizeof(number), "%llu", (unsigned long long)f->number);
                used += (size_t)snprintf(line + used, size - used, "%s%s=%s", i ? " " : "", f->key,
                                         f->kind == FACT_TEXT     ? f->text
                                         : f->kind == FACT_NUMBER ? number
                                         : f->truth               ? "true"
                                                                  : "false");
        }
}

static void test_facts(void **state)
{
        static const struct {
                const char *name;
                unsigned version;
                uint64_t incompatible, compatible, autoclear;
                unsigned order, compression;
                const char *facts;
        } cases[] = {
                { "version 2", 2, 0, 0, 0, 4, 0,
                  "compat=0.10 compression-type=zlib refcount-bits=16" },
                { "version 3", 3, 0, 0, 0, 4, 0,
                  "compat=1.1 compression-type=zlib lazy-refcounts=false refcount-bits=16 "
                  "corrupt=false extended-l2=false" },
                { "all that goes together", 3, 2 | 8 | 16, 1, 0, 6, 1,
                  "compat=1.1 compression-type=zstd lazy-refcounts=true refcount-bits=64 "
                  "corrupt=true extended-l2=true" },
                { "data file", 3, 4, 0, 0, 0, 0,
                  "compat=1.1 compression-type=zlib lazy-refcounts=false refcount-bits=1 "
                  "data-file=d.raw data-file-raw=false corrupt=false extended-l2=false" },
                { "raw data file", 3, 4, 0, 2, 0, 0,
                  "compat=1.1 compression-type=zlib lazy-refcounts=false refcount-bits=1 "
                  "data-file=d.raw data-file-raw=true corrupt=false extended-l2=false" },
        };
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char line[1024];
                Info info;

                image_begin(&image, 14, 32768, cases[i].incompatible & 16);
                image_put(&image, IMAGE_VERSION, 4, cases[i].version);
                image_put(&image, IMAGE_INCOMPATIBLE, 8, cases[i].incompatible);
                image_put(&image, IMAGE_COMPATIBLE, 8, cases[i].compatible);
                image_put(&image, IMAGE_AUTOCLEAR, 8, cases[i].autoclear);
                image_put(&image, IMAGE_REFCOUNT_ORDER, 4, cases[i].order);
                image_put(&image, IMAGE_COMPRESSION_TYPE, 1, cases[i].compression);
                if (cases[i].incompatible & 4)
                        image_extension(&image, 0x44415441, "d.raw", 5);
                assert_int_equal(describe(&image, &info), 0);
                print_facts(&info, line, sizeof(line));
                assert_string_equal(line, cases[i].facts);
                assert_int_equal(info.cluster_size, 16384);
                assert_false(info.dirty);
                info_done(&info);
        }
}

static void test_dirty(void **state)
{
        static Image image;
        Info info;

        image_begin(&image, 9, 32768, false);
        image_put(&image, IMAGE_INCOMPATIBLE, 8, 1);
        assert_int_equal(describe(&image, &info), 0);
        assert_true(info.dirty);
        info_done(&info);
}

/* Fields of a bitmap in the directory. */
enum {
        TABLE_OFFSET = 0,
        TABLE_SIZE = 8,
        FLAGS = 12,
        TYPE = 16,
        GRANULARITY = 17,
        NAME_SIZE = 18,
        EXTRA_SIZE = 20,
        NAME = 24,
};

static void put_bitmap(Image *i, uint64_t at, uint32_t flags, uint8_t granularity, const char *name)
{
        image_put(i, at + TABLE_OFFSET, 8, 0x8000);
        image_put(i, at + TABLE_SIZE, 4, 1);
        image_put(i, at + FLAGS, 4, flags);
        image_put(i, at + TYPE, 1, 1);
        image_put(i, at + GRANULARITY, 1, granularity);
        image_put(i, at + NAME_SIZE, 2, strlen(name));
        image_put_bytes(i, at + NAME, name, strlen(name));
}

/* Two bitmaps: 32 bytes and 40. */
static void begin(Image *i)
{
        image_begin(i, 9, 32768, false);
        image_put(i, IMAGE_AUTOCLEAR, 8, 1);
        image_extension(i, 0x23852875, NULL, 24);
        image_put(i, IMAGE_EXTENSIONS + 8, 4, 2);
        image_put(i, IMAGE_EXTENSIONS + 16, 8, 72);
        image_put(i, IMAGE_EXTENSIONS + 24, 8, DIRECTORY);
        put_bitmap(i, DIRECTORY, 2, 16, "b0");
        put_bitmap(i, DIRECTORY + 32, 1, 31, "the second");
}

static void test_bitmaps(void **state)
{
        static Image image;
        Info info;

        begin(&image);
        assert_int_equal(describe(&image, &info), 0);
        assert_int_equal(info.bitmap_count, 2);
        assert_string_equal(info.bitmaps[0].name, "b0");
        assert_int_equal(info.bitmaps[0].granularity, 65536);
        assert_true(info.bitmaps[0].automatic);
        assert_false(info.bitmaps[0].in_use);
        assert_string_equal(info.bitmaps[1].name, "the second");
        assert_int_equal(info.bitmaps[1].granularity, UINT64_C(1) << 31);
        assert_false(info.bitmaps[1].automatic);
        assert_true(info.bitmaps[1].in_use);
        info_done(&info);

        /* Stale: there are none. */
        image_put(&image, IMAGE_AUTOCLEAR, 8, 0);
        assert_int_equal(describe(&image, &info), 0);
        assert_int_equal(info.bitmap_count, 0);
        info_done(&info);
}

static void test_each_field_of_a_bitmap_is_checked(void **state)
{
        static const struct {
                const char *name;
                uint64_t pos;
                unsigned width;
                uint64_t value;
                int r;
        } cases[] = {
                { "no table", DIRECTORY + TABLE_OFFSET, 8, 0, -EBADMSG },
                { "table misaligned", DIRECTORY + TABLE_OFFSET, 8, 0x8001, -EBADMSG },
                { "table of nothing", DIRECTORY + TABLE_SIZE, 4, 0, -EBADMSG },
                { "table too large", DIRECTORY + TABLE_SIZE, 4, 0x8000001, -EBADMSG },
                { "unknown flag", DIRECTORY + FLAGS, 4, 8, -EBADMSG },
                { "another type", DIRECTORY + TYPE, 1, 2, -EBADMSG },
                { "granularity 8", DIRECTORY + GRANULARITY, 1, 8, -EBADMSG },
                { "granularity 32", DIRECTORY + GRANULARITY, 1, 32, -EBADMSG },
                { "no name", DIRECTORY + NAME_SIZE, 2, 0, -EBADMSG },
                { "name of 1024", DIRECTORY + NAME_SIZE, 2, 1024, -EBADMSG },
                { "name past the directory", DIRECTORY + NAME_SIZE, 2, 100, -EBADMSG },
                { "NUL in the name", DIRECTORY + NAME, 1, 0, -EBADMSG },
                { "extra data", DIRECTORY + EXTRA_SIZE, 4, 1, -EOPNOTSUPP },
                { "directory too short", IMAGE_EXTENSIONS + 16, 8, 71, -EBADMSG },
                { "directory too long", IMAGE_EXTENSIONS + 16, 8, 80, -EBADMSG },
                { "one bitmap less", IMAGE_EXTENSIONS + 8, 4, 1, -EBADMSG },
        };
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Info info;

                begin(&image);
                image_put(&image, cases[i].pos, cases[i].width, cases[i].value);
                int r = describe(&image, &info);
                if (r != cases[i].r)
                        print_message("%s: %d\n", cases[i].name, r);
                assert_int_equal(r, cases[i].r);
                info_done(&info);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_facts),
                cmocka_unit_test(test_dirty),
                cmocka_unit_test(test_bitmaps),
                cmocka_unit_test(test_each_field_of_a_bitmap_is_checked),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
