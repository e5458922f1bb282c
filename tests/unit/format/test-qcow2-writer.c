/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening to write: what it needs beyond opening to read, and that closing forgets what nobody flushed. */
#include "tests/unit/format/qcow2-writing.h"

static void begin(Image *image)
{
        image_begin(image, 9, 64 * C, false);
        image_map(image, 0, COPIED | 4 * C);
        memset(image->bytes + 4 * C, 'a', C);
        image_count(image, 5, 4);
}

/* A writer counts: without refcounts nothing can be placed. */
static void test_a_refcount_table_that_cannot_be_read(void **state)
{
        static const struct {
                const char *name;
                uint64_t pos, clusters;
        } tables[] = {
                { "past the end of the file", 1 << 20, 1 },
                { "none", C, 0 },
                { "too long", C, ((8 << 20) + C) / C },
                { "misaligned", C + 8, 1 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(tables) / sizeof(tables[0]); k++) {
                Opened o;
                print_message("case: %s\n", tables[k].name);
                begin(&image);
                image_put(&image, IMAGE_REFCOUNT_TABLE_OFFSET, 8, tables[k].pos);
                image_put(&image, IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, tables[k].clusters);
                image_open_writable(&image, NULL, &o);
                assert_true(o.r < 0);
                assert_non_null(strstr(o.err.text, "refcount"));
                image_close(&o);
        }
}

/* What lies in another file cannot be written without it. */
static void test_a_data_file_that_was_not_opened(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_put(&image, IMAGE_INCOMPATIBLE, 8, 4);
        image_map(&image, 0, COPIED);
        image_set_refcount(&image, 4, 0);
        image_extension(&image, 0x44415441, "d", 1);
        image_open_writable(&image, NULL, &o);
        assert_int_equal(o.r, -EACCES);
        assert_non_null(strstr(o.err.text, "'d'"));
        image_close(&o);
}

static void test_closing_without_a_flush(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', 20 * C, 10 * C);
        assert_int_equal(node_discard(o.node, 0, C), 0);
        Store *s = TAKE(o.node->store);
        const Format *format = o.node->format;
        node_close(o.node);

        /* Nothing of a table was written: only data, where no table knows of it, and zeroes for what was discarded. */
        NodeOptions options = { .writable = true, .cache = o.cache };
        assert_int_equal(node_open(format, s, &options, NULL, &o.node, NULL), 0);
        for (uint64_t i = 0; i < 4 * C; i++)
                assert_int_equal(stored(&o, i, 1), image.bytes[i]);
        assert_bytes(&o, 0, 64 * C, 0);
        write_bytes(&o, '!', 3 * C, 30 * C);
        assert_bytes(&o, '!', 3 * C, 30 * C);
        assert_bytes(&o, 0, C, 33 * C);
        assert_sound(&o);
        image_close(&o);
}

/* A reader of the same image has none of this, and changes nothing. */
static void test_a_reader_has_no_writer(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_int_equal(try_write(&o, '#', 1, 0), -EROFS);
        assert_int_equal(node_discard(o.node, 0, C), -EROFS);
        assert_int_equal(node_resize(o.node, C), -EROFS);
        assert_int_equal(node_flush(o.node), 0);
        for (uint64_t i = 0; i < image.len; i++)
                assert_int_equal(stored(&o, i, 1), image.bytes[i]);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_refcount_table_that_cannot_be_read),
                cmocka_unit_test(test_a_data_file_that_was_not_opened),
                cmocka_unit_test(test_closing_without_a_flush),
                cmocka_unit_test(test_a_reader_has_no_writer),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
