/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image is told before the first change, and that it is told nothing before. */
#include "tests/unit/format/qcow2-writing.h"

enum {
        UNKNOWN_AUTOCLEAR = 1 << 9,
        DIRECTORY = 5,
        TABLE = 6,
};

static void put_bitmap(Image *image, uint64_t pos, const char *name, uint32_t flags)
{
        image_put(image, pos, 8, TABLE * C);
        image_put(image, pos + 8, 4, 1);
        image_put(image, pos + 12, 4, flags);
        image_put(image, pos + 16, 1, 1);
        image_put(image, pos + 17, 1, 16);
        image_put(image, pos + 18, 2, strlen(name));
        image_put_bytes(image, pos + 24, name, strlen(name));
}

/* Bitmaps "b0", "b1" with these flags: -1: none of that name. */
static void begin(Image *image, int first, int second)
{
        uint8_t extension[24] = { [3] = 2, [15] = 64, [22] = DIRECTORY * C >> 8 };

        image_begin(image, 9, 64 * C, false);
        image_map(image, 0, COPIED | 4 * C);
        memset(image->bytes + 4 * C, 'a', C);
        if (first >= 0) {
                image_extension(image, 0x23852875, extension, sizeof(extension));
                put_bitmap(image, DIRECTORY * C, "b0", (uint32_t)first);
                put_bitmap(image, DIRECTORY * C + 32, "b1", (uint32_t)second);
                image_put(image, IMAGE_AUTOCLEAR, 8, 1);
        }
        image_extension(image, 0x12345678, "unknown", 7);
        image_put(image, IMAGE_COMPATIBLE, 8, 1 << 20);
        image_put_bytes(image, 300, "nobody's", 8);
        image_count(image, 7, 4);
        if (first < 0) {
                image_set_refcount(image, DIRECTORY, 0);
                image_set_refcount(image, TABLE, 0);
        }
}

/* The first cluster is as it was but for these bytes. */
static void assert_header(Opened *o, const Image *image, uint64_t from, uint64_t end)
{
        for (uint64_t i = 0; i < C; i++)
                if (i < from || i >= end)
                        assert_int_equal(stored(o, i, 1), image->bytes[i]);
}

static void assert_untouched(Opened *o, const Image *image)
{
        for (uint64_t i = 0; i < image->len; i++)
                assert_int_equal(stored(o, i, 1), image->bytes[i]);
        assert_int_equal(stored_size(o), image->len);
}

typedef int (*Change)(Node *n);

static int change_write_in_place(Node *n)
{
        return node_write(n, "#", 1, 5);
}

static int change_write_new(Node *n)
{
        return node_write(n, "#", 1, 5 * C);
}

static int change_zero(Node *n)
{
        return node_zero(n, 0, 10);
}

static int change_discard(Node *n)
{
        return node_discard(n, 0, C);
}

static int change_allocate(Node *n)
{
        return node_allocate(n, 5 * C, C);
}

static int change_size(Node *n)
{
        return node_resize(n, 65 * C);
}

static const struct {
        const char *name;
        Change change;
} changes[] = {
        { "a write in place", change_write_in_place },
        { "a write in a new place", change_write_new },
        { "zeroes", change_zero },
        { "a discard", change_discard },
        { "a reservation", change_allocate },
        { "a new size", change_size },
};

static void test_nothing_is_written_before_the_first_change(void **state)
{
        static Image image;
        Opened o;

        begin(&image, 2, 0);
        image_put(&image, IMAGE_AUTOCLEAR, 8, 1 | UNKNOWN_AUTOCLEAR);
        open_or_fail(&image, &o);
        assert_bytes(&o, 'a', C, 0);
        flush(&o);
        assert_int_equal(node_zero(o.node, 10 * C, C), 0);
        write_bytes(&o, '#', 0, 10 * C);
        assert_int_equal(node_resize(o.node, 64 * C), 0);
        flush(&o);
        assert_untouched(&o, &image);
        image_close(&o);
}

/* Any first change clears what we do not know of, and nothing else; at once, not with the next flush. */
static void test_unknown_autoclear_bits_go_with_the_first_change(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++) {
                Opened o;
                print_message("case: %s\n", changes[k].name);
                begin(&image, -1, -1);
                image_put(&image, IMAGE_AUTOCLEAR, 8, UINT64_C(1) << 63 | UNKNOWN_AUTOCLEAR);
                open_or_fail(&image, &o);
                assert_int_equal(changes[k].change(o.node), 0);
                assert_int_equal(stored(&o, IMAGE_AUTOCLEAR, 8), 0);
                flush(&o);
                if (changes[k].change != change_size)
                        assert_header(&o, &image, IMAGE_AUTOCLEAR, IMAGE_AUTOCLEAR + 8);
                image_close(&o);
        }
}

/* An enabled bitmap (flag 2) should have recorded the change: from now on it is marked as in use (flag 1). */
static void test_bitmaps(void **state)
{
        static const struct {
                const char *name;
                int flags[2];
                uint64_t after[2];
        } cases[] = {
                { "both disabled", { 0, 0 }, { 0, 0 } },
                { "the first enabled", { 2, 0 }, { 3, 0 } },
                { "the second enabled", { 0, 2 }, { 0, 3 } },
                { "in use already", { 3, 1 }, { 3, 1 } },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
                for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
                        Opened o;
                        print_message("case: %s, %s\n", cases[k].name, changes[i].name);
                        begin(&image, cases[k].flags[0], cases[k].flags[1]);
                        open_or_fail(&image, &o);
                        assert_int_equal(changes[i].change(o.node), 0);
                        flush(&o);
                        if (changes[i].change != change_size) {
                                assert_int_equal(stored(&o, IMAGE_AUTOCLEAR, 8), 1);
                                assert_header(&o, &image, 0, 0);
                        }
                        assert_int_equal(stored(&o, DIRECTORY * C + 12, 4), cases[k].after[0]);
                        assert_int_equal(stored(&o, DIRECTORY * C + 44, 4), cases[k].after[1]);
                        for (uint64_t b = 0; b < 2 * C; b++)
                                if (b / 4 != 3 && b / 4 != 11)
                                        assert_int_equal(stored(&o, DIRECTORY * C + b, 1),
                                                         image.bytes[DIRECTORY * C + b]);
                        image_close(&o);
                }
}

/* What was not valid before is left as it is. */
static void test_stale_bitmaps_stay(void **state)
{
        static Image image;
        Opened o;

        begin(&image, 2, 0);
        image_put(&image, IMAGE_AUTOCLEAR, 8, 0);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', 10, 0);
        flush(&o);
        assert_header(&o, &image, 0, 0);
        assert_int_equal(stored(&o, DIRECTORY * C + 12, 4), 2);
        image_close(&o);
}

/* A disk that bitmaps do not fit any more: none of them is said to hold. */
static void test_bitmaps_and_sizes(void **state)
{
        static const struct {
                const char *name;
                uint64_t size;
                bool stay;
        } sizes[] = {
                { "a sector more", 64 * C + 512, true },
                { "more bits than one cluster has", UINT64_C(512) * 8 * 65536 + 512, false },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
                Opened o;
                print_message("case: %s\n", sizes[k].name);
                begin(&image, 0, 0);
                open_or_fail(&image, &o);
                assert_int_equal(node_resize(o.node, sizes[k].size), 0);
                flush(&o);
                assert_int_equal(stored(&o, IMAGE_AUTOCLEAR, 8), sizes[k].stay);
                image_close(&o);
        }
}

/* Damaged images are not written to. */
static void test_corrupt_images_open_read_only_only(void **state)
{
        static Image image;
        Opened o;

        begin(&image, -1, -1);
        image_put(&image, IMAGE_INCOMPATIBLE, 8, 2);
        image_open_writable(&image, NULL, &o);
        assert_true(o.r < 0);
        assert_non_null(strstr(o.err.text, "corrupt"));
        image_close(&o);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_bytes(&o, 'a', C, 0);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_written_before_the_first_change),
                cmocka_unit_test(test_unknown_autoclear_bits_go_with_the_first_change),
                cmocka_unit_test(test_bitmaps),
                cmocka_unit_test(test_stale_bitmaps_stay),
                cmocka_unit_test(test_bitmaps_and_sizes),
                cmocka_unit_test(test_corrupt_images_open_read_only_only),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
