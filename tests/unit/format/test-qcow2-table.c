/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/qcow2-writing.h"

/* A disk of three L2 tables, of which the image has the first. 6: refcount block. */
static void begin(Image *image)
{
        image_begin(image, 9, 3 * 64 * C, false);
        image_map(image, 0, COPIED | 4 * C);
        memset(image->bytes + 4 * C, 'a', C);
        image_count(image, 6, 4);
        image_set_refcount(image, 5, 0);
}

static void test_a_table_is_made_where_there_is_none(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        open_or_fail(&image, &o);
        /* Nothing is made for what reads as zeroes. */
        assert_int_equal(node_zero(o.node, 64 * C, 128 * C), 0);
        assert_sound(&o);
        assert_int_equal(stored(&o, 2 * C + 8, 8), 0);

        write_bytes(&o, '#', 2 * C, 64 * C - C);
        assert_sound(&o);
        uint64_t entry = stored(&o, 2 * C + 8, 8);
        assert_true(entry & COPIED);
        assert_int_equal(stored(&o, 2 * C, 8), COPIED | L2 * C);
        assert_int_equal(stored(&o, 2 * C + 16, 8), 0);
        /* All of the new table but one entry is empty, whatever lay in its place. */
        for (uint64_t k = 1; k < 64; k++)
                assert_int_equal(stored(&o, (entry & ~COPIED) + 8 * k, 8), 0);
        reopen(&o);
        assert_bytes(&o, '#', 2 * C, 64 * C - C);
        assert_bytes(&o, 0, 63 * C, 65 * C);
        image_close(&o);
}

/* The L2 table belongs to a snapshot too: the disk gets a copy, the snapshot's stays as it is. */
static void test_a_shared_table_is_copied(void **state)
{
        static const struct {
                const char *name;
                int what; /* 0: write in another cluster, 1: in the shared one, 2: discard it, 3: zero a part of it */
                uint64_t data_refcount;
        } cases[] = {
                { "a write beside", 0, 2 },
                { "a write to it", 1, 1 },
                { "a discard", 2, 1 },
                { "zeroes in a part", 3, 1 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                Opened o;
                print_message("case: %s\n", cases[k].name);
                begin(&image);
                image_map(&image, 0, 4 * C);
                image_put(&image, 2 * C, 8, L2 * C);
                image_put(&image, 8 * C, 8, L2 * C);
                image_snapshot(&image, 7 * C, 8 * C);
                image_set_refcount(&image, L2, 2);
                image_set_refcount(&image, 4, 2);
                image_set_refcount(&image, 7, 1);
                image_set_refcount(&image, 8, 1);
                image.len = 9 * C;
                open_or_fail(&image, &o);

                if (cases[k].what == 0)
                        write_bytes(&o, '#', 10, 3 * C);
                else if (cases[k].what == 1)
                        write_bytes(&o, '#', 10, 0);
                else if (cases[k].what == 2)
                        assert_int_equal(node_discard(o.node, 0, C), 0);
                else
                        assert_int_equal(node_zero(o.node, 0, 10), 0);
                assert_sound(&o);
                uint64_t entry = stored(&o, 2 * C, 8);
                assert_true(entry & COPIED);
                assert_int_not_equal(entry & ~COPIED, L2 * C);
                assert_int_equal(stored(&o, 8 * C, 8), L2 * C);
                assert_int_equal(stored(&o, L2 * C, 8), 4 * C);
                for (uint64_t i = 1; i < 64; i++)
                        assert_int_equal(stored(&o, L2 * C + 8 * i, 8), 0);
                assert_int_equal(stored_refcount(&o, L2), 1);
                assert_int_equal(stored_refcount(&o, 4), cases[k].data_refcount);
                assert_int_equal(stored(&o, 4 * C, 1), 'a');
                if (cases[k].what == 0)
                        assert_int_equal(stored(&o, entry & ~COPIED, 8), 4 * C);
                image_close(&o);
        }
}

/* Reading makes nothing, and opening to write neither. */
static void test_reading_copies_nothing(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        image_put(&image, 2 * C, 8, L2 * C);
        image_set_refcount(&image, L2, 2);
        open_or_fail(&image, &o);
        assert_bytes(&o, 'a', C, 0);
        assert_bytes(&o, 0, 100 * C, C);
        flush(&o);
        for (uint64_t i = 0; i < image.len; i++)
                assert_int_equal(stored(&o, i, 1), image.bytes[i]);
        assert_int_equal(stored_size(&o), image.len);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_table_is_made_where_there_is_none),
                cmocka_unit_test(test_a_shared_table_is_copied),
                cmocka_unit_test(test_reading_copies_nothing),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
