/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        END = 0,
        BACKING_FORMAT = (int)0xe2792acaU,
        FEATURES = 0x6803f857,
        BITMAPS = 0x23852875,
        CRYPTO = 0x0537be77,
        DATA_FILE = 0x44415441,
        OTHER = 0x12345678,
};

typedef struct Case {
        const char *name;
        uint32_t type;
        const char *bytes; /* NULL: zeroes */
        uint32_t len;
        bool twice;
        uint64_t incompatible, autoclear;
        int r;
        const char *words;
} Case;

#define BITMAPS_OF(count, reserved, size, offset)                             \
        "\0\0\0" count "\0\0\0" reserved "\0\0\0\0\0\0\0" size "\0\0\0\0\0\0" \
        "\x10" offset

static const Case cases[] = {
        { "none", END, NULL, 0 },
        { "the end states a length", END, NULL, 8 },
        { "the end states too long a length", END, NULL, 500, .r = -EBADMSG,
          .words = "header extension 0x00000000 at 112: length 500 is more than the 392" },
        { "unknown", OTHER, "abc", 3 },
        { "unknown, to the end", OTHER, NULL, 392 },
        { "unknown, one byte too long", OTHER, NULL, 393, .r = -EBADMSG,
          .words = "header extension 0x12345678 at 112: length 393 is more than the 392" },
        { "as long as can be said", OTHER, NULL, UINT32_MAX, .r = -EBADMSG,
          .words = "length 4294" },

        { "backing format", BACKING_FORMAT, "qcow2", 5 },
        { "backing format of 15", BACKING_FORMAT, "123456789012345", 15 },
        { "backing format of 16", BACKING_FORMAT, "1234567890123456", 16, .r = -EBADMSG,
          .words = "length 16 is not within 1 to 15" },
        { "backing format of 0", BACKING_FORMAT, "", 0, .r = -EBADMSG, .words = "length 0 is not" },
        { "backing format with NUL", BACKING_FORMAT, "ra\0w", 4, .r = -EBADMSG, .words = "NUL" },
        { "two backing formats", BACKING_FORMAT, "raw", 3, .twice = true, .r = -EBADMSG,
          .words = "the backing format is stated twice" },

        { "data file's name without data file", DATA_FILE, "d", 1 },
        { "data file", DATA_FILE, "d", 1, .incompatible = 4 },
        { "data file's name of 0", DATA_FILE, "", 0, .incompatible = 4, .r = -EBADMSG,
          .words = "the length 0 of the external data file's name" },
        { "data file's name with NUL", DATA_FILE, "d\0e", 3, .incompatible = 4, .r = -EBADMSG,
          .words = "NUL" },
        { "two data files", DATA_FILE, "d", 1, .twice = true, .incompatible = 4, .r = -EBADMSG,
          .words = "named twice" },

        { "encryption header", CRYPTO, NULL, 16, .r = -EBADMSG, .words = "crypt_method 0" },

        { "bitmaps, stale", BITMAPS, "nonsense", 8 },
        { "bitmaps", BITMAPS, BITMAPS_OF("\1", "\0", "\x20", "\0"), 24, .autoclear = 1 },
        { "bitmaps of another length", BITMAPS, BITMAPS_OF("\1", "\0", "\x20", "\0"), 23,
          .autoclear = 1, .r = -EBADMSG, .words = "length 23 is not 24" },
        { "no bitmaps", BITMAPS, BITMAPS_OF("\0", "\0", "\x20", "\0"), 24, .autoclear = 1,
          .r = -EBADMSG, .words = "nb_bitmaps 0" },
        { "bitmaps, reserved", BITMAPS, BITMAPS_OF("\1", "\7", "\x20", "\0"), 24, .autoclear = 1,
          .r = -EBADMSG, .words = "reserved field is 0x7" },
        { "bitmaps, small directory", BITMAPS, BITMAPS_OF("\2", "\0", "\x2f", "\0"), 24,
          .autoclear = 1, .r = -EBADMSG,
          .words = "bitmap_directory_size 47 is not possible for 2 bitmaps" },
        { "bitmaps, directory misaligned", BITMAPS, BITMAPS_OF("\1", "\0", "\x20", "\1"), 24,
          .autoclear = 1, .r = -EBADMSG, .words = "bitmap_directory_offset 4097" },
        { "two lots of bitmaps", BITMAPS, BITMAPS_OF("\1", "\0", "\x20", "\0"), 24, .twice = true,
          .autoclear = 1, .r = -EBADMSG, .words = "stated twice" },
};

static void test_each_extension_is_checked(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                Opened o;

                image_begin(&image, 9, 32768, false);
                image_put(&image, IMAGE_INCOMPATIBLE, 8, c->incompatible);
                image_put(&image, IMAGE_AUTOCLEAR, 8, c->autoclear);
                image_extension(&image, c->type, c->bytes, c->len);
                if (c->twice)
                        image_extension(&image, c->type, c->bytes, c->len);
                image_open(&image, NULL, NULL, &o);
                if (o.r != c->r || (c->words && !strstr(o.err.text, c->words)))
                        print_message("%s: %d (expected %d), '%s'\n", c->name, o.r, c->r,
                                      o.err.text);
                assert_int_equal(o.r, c->r);
                if (c->words)
                        assert_non_null(strstr(o.err.text, c->words));
                image_close(&o);
        }
}

static void test_backing_name_and_format(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 32768, false);
        image_extension(&image, BACKING_FORMAT, "qcow2", 5);
        image_put(&image, IMAGE_BACKING_OFFSET, 8, 400);
        image_put(&image, IMAGE_BACKING_SIZE, 4, 6);
        image_put_bytes(&image, 400, "base.q-not-this", 15);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_string_equal(o.node->backing_name, "base.q");
        assert_string_equal(o.node->backing_format, "qcow2");
        image_close(&o);

        /* A NUL would show a person another name than it opens. */
        image_put(&image, 403, 1, 0);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        assert_non_null(strstr(o.err.text, "the backing file's name of 6 bytes has a NUL byte"));
        image_close(&o);

        /* No name: then the format of it is nothing either. */
        image_put(&image, IMAGE_BACKING_SIZE, 4, 0);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_null(o.node->backing_name);
        assert_null(o.node->backing_format);
        image_close(&o);
}

static void test_extensions_end_where_the_name_begins(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 32768, false);
        image_put(&image, IMAGE_BACKING_OFFSET, 8, 128);
        image_put(&image, IMAGE_BACKING_SIZE, 4, 3);
        image_extension(&image, OTHER, "12345678", 8);
        image_put_bytes(&image, 128, "abc", 3);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_string_equal(o.node->backing_name, "abc");
        image_close(&o);

        image_put(&image, IMAGE_EXTENSIONS + 4, 4, 9);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        assert_non_null(strstr(o.err.text, "length 9 is more than the 8 bytes left"));
        image_close(&o);
}

static void put_feature(Image *i, uint64_t pos, uint8_t kind, uint8_t bit, const char *name)
{
        image_put(i, pos, 1, kind);
        image_put(i, pos + 1, 1, bit);
        image_put_bytes(i, pos + 2, name, strlen(name));
}

static void test_unknown_features_have_names(void **state)
{
        static const struct {
                const char *name;
                uint64_t incompatible;
                const char *words;
        } features[] = {
                { "named", 1 << 7, "the feature 'tesseract' (incompatible bit 7), which" },
                { "named among others", (1 << 7) | (1 << 9),
                  "the feature 'tesseract' (incompatible bit 7), which rawview does not know (and 1 "
                  "other unknown feature)" },
                { "another kind's name", 1 << 6, "the feature of incompatible bit 6, which" },
                { "a name without an end", 1 << 8,
                  "'0123456789012345678901234567890123456789012345' (incompatible bit 8)" },
        };
        static Image image;

        for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
                Opened o;

                image_begin(&image, 9, 32768, false);
                image_extension(&image, FEATURES, NULL, 3 * 48);
                put_feature(&image, 120, 0, 7, "tesseract");
                put_feature(&image, 168, 1, 6, "compatible");
                put_feature(&image, 216, 0, 8, "0123456789012345678901234567890123456789012345");
                image_put(&image, IMAGE_INCOMPATIBLE, 8, features[i].incompatible);
                image_open(&image, NULL, NULL, &o);
                if (!strstr(o.err.text, features[i].words))
                        print_message("%s: '%s'\n", features[i].name, o.err.text);
                assert_int_equal(o.r, -EOPNOTSUPP);
                assert_non_null(strstr(o.err.text, features[i].words));
                image_close(&o);
        }
}

static void test_encryption_header_is_looked_for(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 32768, false);
        image_put(&image, IMAGE_CRYPT_METHOD, 4, 2);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        assert_non_null(strstr(o.err.text, "crypt_method 2 is set, but no header extension"));
        image_close(&o);

        image_extension(&image, CRYPTO, "\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x20\0", 16);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        assert_non_null(strstr(o.err.text, "encryption header"));
        image_close(&o);

        image_put(&image, IMAGE_EXTENSIONS + 15, 1, 1);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        assert_non_null(strstr(o.err.text, "the encryption header's offset 4097"));
        image_close(&o);
}

/* An image that we do not know how to read may be of any shape; its feature is named all the same. */
static void test_unknown_feature_in_a_short_file(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 16, 32768, false);
        image_extension(&image, FEATURES, NULL, 48);
        put_feature(&image, 120, 0, 7, "tesseract");
        image_put(&image, IMAGE_INCOMPATIBLE, 8, 1 << 7);
        image.len = 140;
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EOPNOTSUPP);
        assert_non_null(strstr(o.err.text, "the feature 'tesseract'"));
        image_close(&o);

        /* One that leads out of the header cluster, whatever end the header states. */
        image_put(&image, IMAGE_BACKING_OFFSET, 8, UINT64_MAX);
        image_put(&image, IMAGE_EXTENSIONS, 4, OTHER);
        image_put(&image, IMAGE_EXTENSIONS + 4, 4, 1 << 30);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EOPNOTSUPP);
        assert_non_null(strstr(o.err.text, "the feature of incompatible bit 7"));
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_extension_is_checked),
                cmocka_unit_test(test_backing_name_and_format),
                cmocka_unit_test(test_extensions_end_where_the_name_begins),
                cmocka_unit_test(test_unknown_features_have_names),
                cmocka_unit_test(test_encryption_header_is_looked_for),
                cmocka_unit_test(test_unknown_feature_in_a_short_file),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
