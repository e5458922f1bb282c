/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An external data file that somebody may read who knows no qcow2: it is the disk at any time, flushed or not. */
#include "tests/unit/format/qcow2-writing.h"

#include "fake/shelf.h"
#include "store/mem.h"

enum {
        DISK = 64 * C,
        BIG = 1 << 14,
};

#define RAW UINT64_C(2)
#define ALL UINT64_C(0xffffffff)
#define ZEROES (ALL << 32)

/* The data file is 'd's; `autoclear` is RAW or 0. */
static void open_with_file(Image *image, Shelf *shelf, uint64_t autoclear, Opened *ret)
{
        _cleanup_free_ uint8_t *bytes = malloc(DISK);
        Store *s = NULL;

        image_put(image, IMAGE_INCOMPATIBLE, 8, image->entry_len == 16 ? 4 | 16 : 4);
        image_put(image, IMAGE_AUTOCLEAR, 8, autoclear);
        image_extension(image, 0x44415441, "d", 1);
        memset(bytes, 'd', DISK);
        shelf_init(shelf);
        assert_int_equal(mem_store_new(bytes, DISK, &s), 0);
        assert_int_equal(shelf_put(shelf, "d", 0, s), 0);
        image_open_writable(image, &shelf->opener, ret);
        if (ret->r < 0)
                fail_msg("%s", ret->err.text);
        assert_int_equal(ret->node->extra_count, 1);
}

/* The data file has the same bytes as the disk. */
static void assert_file_is_disk(Opened *o)
{
        static uint8_t disk[DISK], file[DISK];

        assert_int_equal(node_read(o->node, disk, DISK, 0), 0);
        assert_int_equal(store_read_padded(o->node->extra_stores[0], file, DISK, 0), 0);
        for (size_t i = 0; i < DISK; i++)
                if (disk[i] != file[i])
                        fail_msg("byte %zu is %#x in the file, %#x on the disk", i, file[i],
                                 disk[i]);
}

static int change_write(Node *n)
{
        return node_write(n, "#####", 5, C - 2);
}

static int change_zero(Node *n)
{
        return node_zero(n, 10, 2 * C);
}

static int change_discard(Node *n)
{
        return node_discard(n, 100, 3 * C);
}

static int change_allocate(Node *n)
{
        return node_allocate(n, 0, 4 * C);
}

static const struct {
        const char *name;
        int (*change)(Node *n);
} changes[] = {
        { "a write", change_write },
        { "zeroes", change_zero },
        { "a discard", change_discard },
        { "a reservation", change_allocate },
};

/* All entries say that the bytes lie in the file, as qemu-img makes such an image. */
static void test_the_file_is_the_disk(void **state)
{
        static Image image;
        Shelf shelf;

        for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++) {
                Opened o;
                print_message("case: %s\n", changes[k].name);
                image_begin(&image, 9, DISK, false);
                for (uint64_t i = 0; i < 64; i++)
                        image_map(&image, i, COPIED | i * C);
                image_count(&image, 4, 4);
                open_with_file(&image, &shelf, RAW, &o);
                assert_file_is_disk(&o);
                assert_int_equal(changes[k].change(o.node), 0);
                assert_file_is_disk(&o);
                assert_sound(&o);
                assert_file_is_disk(&o);
                assert_int_equal(stored(&o, IMAGE_AUTOCLEAR, 8), RAW);
                for (uint64_t i = 0; i < 64; i++)
                        assert_int_equal(stored(&o, L2 * C + 8 * i, 8), COPIED | i * C);
                image_close(&o);
                shelf_done(&shelf);
        }
}

/* Entries that say anything else are made to say so before a byte of the file changes. */
static void test_entries_settle_before_the_file_changes(void **state)
{
        static const struct {
                const char *name;
                bool extended;
                uint64_t entry, bitmap; /* of guest cluster 0 */
        } entries[] = {
                { "zeroes with a place", false, COPIED | ZERO, 0 },
                { "nothing", false, 0, 0 },
                { "nothing, extended", true, 0, 0 },
                { "zeroes, extended", true, COPIED, ZEROES },
                { "half there, extended", true, COPIED, 0xffff },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(entries) / sizeof(entries[0]); k++) {
                uint64_t cluster = entries[k].extended ? BIG : C;
                /* Not in the half that is there. */
                uint64_t off = entries[k].extended ? BIG / 2 + 100 : 100;
                uint8_t byte = 0;
                Shelf shelf;
                Opened o;
                print_message("case: %s\n", entries[k].name);
                image_begin(&image, entries[k].extended ? 14 : 9, DISK, entries[k].extended);
                image_map(&image, 0, entries[k].entry);
                if (entries[k].extended)
                        image_map_extended(&image, 0, entries[k].entry, entries[k].bitmap);
                image_count(&image, 4, 4);
                open_with_file(&image, &shelf, RAW, &o);

                write_bytes(&o, '#', 5, off);
                /* Without a flush. */
                assert_int_equal(stored(&o, 3 * cluster, 8), COPIED);
                if (entries[k].extended)
                        assert_int_equal(stored(&o, 3 * cluster + 8, 8), ALL);
                assert_bytes(&o, '#', 5, off);
                assert_int_equal(store_read(o.node->extra_stores[0], &byte, 1, off), 0);
                assert_int_equal(byte, '#');
                assert_int_equal(store_read(o.node->extra_stores[0], &byte, 1, off + 5), 0);
                assert_bytes(&o, byte, 1, off + 5);
                /* What read as zeroes still does; subclusters that do and are not in the file are against the rules. */
                if (entries[k].bitmap == 0)
                        assert_int_equal(byte, 0);
                assert_sound(&o);
                image_close(&o);
                shelf_done(&shelf);
        }
}

/* A data file that is not raw is the driver's own: entries come and go, and clusters lie where the disk has them. */
static void test_a_data_file_of_the_other_kind(void **state)
{
        static Image image;
        uint8_t byte = 0;
        Shelf shelf;
        Opened o;

        image_begin(&image, 9, DISK, false);
        image_count(&image, 4, 4);
        open_with_file(&image, &shelf, 0, &o);
        assert_bytes(&o, 0, DISK, 0);
        write_bytes(&o, '#', 5, 3 * C + 100);
        write_bytes(&o, '!', C, 0);
        assert_bytes(&o, 0, 100, 3 * C);
        assert_sound(&o);
        assert_int_equal(stored(&o, L2 * C, 8), COPIED);
        assert_int_equal(stored(&o, L2 * C + 24, 8), COPIED | 3 * C);
        assert_int_equal(store_read(o.node->extra_stores[0], &byte, 1, 3 * C + 100), 0);
        assert_int_equal(byte, '#');

        assert_int_equal(node_discard(o.node, 0, 4 * C), 0);
        assert_bytes(&o, 0, DISK, 0);
        assert_sound(&o);
        assert_int_equal(stored(&o, L2 * C, 8), ZERO);
        assert_int_equal(stored(&o, L2 * C + 24, 8), ZERO);
        assert_int_equal(stored(&o, L2 * C + 32, 8), 0);
        image_close(&o);
        shelf_done(&shelf);
}

/* An entry that points to another place of the file than its own: nothing is written through it. */
static void test_an_entry_for_another_place(void **state)
{
        for (uint64_t autoclear = 0; autoclear <= RAW; autoclear += RAW) {
                static Image image;
                uint8_t byte = 0;
                Shelf shelf;
                Opened o;

                image_begin(&image, 9, DISK, false);
                image_map(&image, 1, COPIED | 2 * C);
                image_count(&image, 4, 4);
                open_with_file(&image, &shelf, autoclear, &o);
                assert_int_equal(try_write(&o, '#', 5, C), -EIO);
                assert_int_equal(store_read(o.node->extra_stores[0], &byte, 1, 2 * C), 0);
                assert_int_equal(byte, 'd');
                image_close(&o);
                shelf_done(&shelf);
        }
}

/* Where there is no data file the bit means nothing: taken for one, the image itself would be cleared at the places that
 * the guest names, its header first; and no place would ever be found for what is written. */
static void test_a_raw_bit_without_a_file(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, DISK, false);
        image_put(&image, IMAGE_AUTOCLEAR, 8, RAW);
        image_count(&image, 4, 4);
        open_or_fail(&image, &o);
        assert_int_equal(node_discard(o.node, 0, 4 * C), 0);
        assert_int_equal(stored(&o, 0, 4), 0x514649fb);
        write_bytes(&o, '#', 5, C - 2);
        assert_bytes(&o, '#', 5, C - 2);
        assert_sound(&o);
        assert_int_equal(stored(&o, 0, 4), 0x514649fb);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_file_is_the_disk),
                cmocka_unit_test(test_entries_settle_before_the_file_changes),
                cmocka_unit_test(test_a_data_file_of_the_other_kind),
                cmocka_unit_test(test_an_entry_for_another_place),
                cmocka_unit_test(test_a_raw_bit_without_a_file),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
