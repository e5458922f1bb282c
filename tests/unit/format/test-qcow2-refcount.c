/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/qcow2-writing.h"

/* The counts of the first seven clusters (five of the image, two written), as bytes of the block. */
static void test_every_width_lies_as_the_format_says(void **state)
{
        static const struct {
                unsigned order;
                size_t len;
                uint8_t bytes[8];
        } widths[] = {
                { 0, 2, { 0x7f, 0 } },
                { 1, 3, { 0x55, 0x15, 0 } },
                { 2, 5, { 0x11, 0x11, 0x11, 0x01, 0 } },
                { 3, 8, { 1, 1, 1, 1, 1, 1, 1, 0 } },
                { 4, 4, { 0, 1, 0, 1 } },
                { 5, 8, { 0, 0, 0, 1, 0, 0, 0, 1 } },
                { 6, 8, { 0, 0, 0, 0, 0, 0, 0, 1 } },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(widths) / sizeof(widths[0]); k++) {
                Opened o;
                print_message("case: %d bits\n", 1 << widths[k].order);
                image_begin(&image, 9, 64 * C, false);
                image_count(&image, 4, widths[k].order);
                open_or_fail(&image, &o);
                write_bytes(&o, '#', 2 * C, 3 * C);
                assert_sound(&o);
                for (size_t i = 0; i < widths[k].len; i++)
                        assert_int_equal(stored(&o, 4 * C + i, 1), widths[k].bytes[i]);

                /* One of them freed: its neighbours keep theirs. */
                assert_int_equal(node_discard(o.node, 3 * C, C), 0);
                assert_sound(&o);
                assert_int_equal(stored(&o, L2 * C + 32, 8), COPIED | 6 * C);
                image_close(&o);
        }
}

/* Clusters of 512 bytes, counts of 64 bits: a block counts 64 clusters, a cluster of the table is for 64 blocks. */
static void begin_large(Image *image, uint64_t size)
{
        /* The L1 table is long: it lies behind everything. */
        image_begin(image, 9, size, false);
        image_put(image, 2 * C, 8, 0);
        image_put(image, IMAGE_L1_OFFSET, 8, 4 * C);
        image_put(image, 4 * C, 8, COPIED | L2 * C);
        image_count(image, 40, 6);
        image_set_refcount(image, 2, 0);
        for (uint64_t k = 4 + (size / C + 4095) / 4096; k < 40; k++)
                image_set_refcount(image, k, 0);
}

static void test_blocks_are_added(void **state)
{
        static Image image;
        Opened o;

        begin_large(&image, 1 << 20);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', 200 * C, 100);
        assert_sound(&o);
        /* A block for each 64 clusters up to the end of the file, none beyond. */
        uint64_t blocks = (stored_size(&o) + 64 * C - 1) / (64 * C);
        assert_true(blocks >= 4);
        for (uint64_t k = 0; k < 64; k++) {
                if (k < blocks)
                        assert_int_not_equal(stored(&o, C + 8 * k, 8), 0);
                else
                        assert_int_equal(stored(&o, C + 8 * k, 8), 0);
        }
        /* The table stayed. */
        assert_int_equal(stored(&o, IMAGE_REFCOUNT_TABLE_OFFSET, 8), C);
        assert_int_equal(stored(&o, IMAGE_REFCOUNT_TABLE_CLUSTERS, 4), 1);
        reopen(&o);
        assert_bytes(&o, '#', 200 * C, 100);
        assert_sound(&o);
        image_close(&o);
}

static void test_the_table_moves_when_it_is_full(void **state)
{
        static Image image;
        Opened o;

        begin_large(&image, 8 << 20);
        open_or_fail(&image, &o);
        for (uint64_t off = 0; off < 6 << 20; off += 1 << 18)
                write_bytes(&o, (uint8_t)(1 + off / (1 << 18)), 1 << 18, off);
        assert_sound(&o);
        assert_int_not_equal(stored(&o, IMAGE_REFCOUNT_TABLE_OFFSET, 8), C);
        assert_true(stored(&o, IMAGE_REFCOUNT_TABLE_CLUSTERS, 4) >= 4);
        reopen(&o);
        for (uint64_t off = 0; off < 6 << 20; off += 1 << 18)
                assert_bytes(&o, (uint8_t)(1 + off / (1 << 18)), 1 << 18, off);

        /* And once more, in the second life. */
        write_bytes(&o, '#', 2 << 20, 6 << 20);
        assert_bytes(&o, '#', 2 << 20, 6 << 20);
        assert_sound(&o);
        image_close(&o);
}

/* A block that the table points to is somewhere that it cannot be: nothing is placed, and reading goes on. */
static void test_a_block_out_of_place(void **state)
{
        static const struct {
                const char *name;
                uint64_t entry;
        } broken[] = {
                { "misaligned", 4 * C + 8 },
                { "reserved bits", 4 * C + 1 },
                { "the header", 0x8000000000000000 },
                { "past the end of the file", 1 << 30 },
                { "the L1 table", 2 * C },
                { "an L2 table", 3 * C },
                { "the refcount table", 1 * C },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(broken) / sizeof(broken[0]); k++) {
                Opened o;
                print_message("case: %s\n", broken[k].name);
                image_begin(&image, 9, 64 * C, false);
                image_map(&image, 0, COPIED | 5 * C);
                memset(image.bytes + 5 * C, 'a', C);
                image_count(&image, 4, 4);
                image_set_refcount(&image, 5, 1);
                image.len = 6 * C;
                image_put(&image, C, 8, broken[k].entry);
                uint8_t before[4 * C];
                memcpy(before, image.bytes, sizeof(before));

                image_open_writable(&image, NULL, &o);
                if (o.r == 0) {
                        assert_true(try_write(&o, '#', C, 10 * C) < 0);
                        assert_bytes(&o, 'a', C, 0);
                        (void)node_flush(o.node);
                        /* But for the corrupt bit nothing of the metadata has changed. */
                        for (uint64_t i = 0; i < sizeof(before); i++)
                                if (i != IMAGE_INCOMPATIBLE + 7)
                                        assert_int_equal(stored(&o, i, 1), before[i]);
                }
                image_close(&o);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_width_lies_as_the_format_says),
                cmocka_unit_test(test_blocks_are_added),
                cmocka_unit_test(test_the_table_moves_when_it_is_full),
                cmocka_unit_test(test_a_block_out_of_place),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
