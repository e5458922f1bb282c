/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images made to turn guest writes into writes of metadata: who could write a header chooses a backing file. */
#include "tests/unit/format/qcow2-writing.h"

enum {
        SNAPSHOTS = 5,
        SNAPSHOT_L1 = 6,
        DIRECTORY = 7,
        SECOND_L2 = 8,
        SOUND = 9, /* data of guest cluster 2 */
        BLOCK = 10,
};

/* Everything that metadata can be, and guest cluster 2, which is as it should be. */
static void begin(Image *image, unsigned version)
{
        uint8_t bitmaps[24] = { 0 };

        image_begin(image, 9, 2 * 64 * C, false);
        image_put(image, IMAGE_VERSION, 4, version);
        image_put(image, 2 * C + 8, 8, COPIED | SECOND_L2 * C);
        image_map(image, 2, COPIED | SOUND * C);
        memset(image->bytes + SOUND * C, 's', C);
        image_snapshot(image, SNAPSHOTS * C, SNAPSHOT_L1 * C);
        if (version == 3) {
                bitmaps[3] = 1;
                bitmaps[15] = 32;
                bitmaps[22] = DIRECTORY * C >> 8;
                image_extension(image, 0x23852875, bitmaps, sizeof(bitmaps));
                image_put(image, IMAGE_AUTOCLEAR, 8, 1);
                image_put(image, DIRECTORY * C, 8, 4 * C);
                image_put(image, DIRECTORY * C + 8, 4, 1);
                image_put(image, DIRECTORY * C + 16, 1, 1);
                image_put(image, DIRECTORY * C + 17, 1, 16);
                image_put(image, DIRECTORY * C + 18, 2, 2);
                image_put_bytes(image, DIRECTORY * C + 24, "b0", 2);
        }
        image_count(image, BLOCK, 4);
}

/* Nothing but the corrupt bit has changed; writing has ended, reading goes on. */
static void assert_refused(Opened *o, const Image *image, unsigned version)
{
        assert_int_equal(try_write(o, '#', 10, 2 * C), -EIO);
        assert_int_equal(node_discard(o->node, 2 * C, C), -EIO);
        assert_int_equal(node_flush(o->node), -EIO);
        assert_bytes(o, 's', C, 2 * C);
        for (uint64_t i = 0; i < image->len; i++)
                if (i != IMAGE_INCOMPATIBLE + 7)
                        assert_int_equal(stored(o, i, 1), image->bytes[i]);
        /* Version 2 has no place to say so. */
        assert_int_equal(stored(o, IMAGE_INCOMPATIBLE, 8), version == 3 ? 2 : 0);
}

typedef struct Aim {
        const char *name;
        uint64_t at; /* cluster */
        bool version_3;
} Aim;

static const Aim aims[] = {
        { "the refcount table", 1, false },
        { "the L1 table", 2, false },
        { "an L2 table", L2, false },
        { "another L2 table", SECOND_L2, false },
        { "the snapshot table", SNAPSHOTS, false },
        { "a snapshot's L1 table", SNAPSHOT_L1, false },
        { "the bitmap directory", DIRECTORY, true },
        { "a refcount block", BLOCK, false },
};

static void test_an_entry_for_data_aims_at_metadata(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(aims) / sizeof(aims[0]); k++)
                for (unsigned version = aims[k].version_3 ? 3 : 2; version <= 3; version++)
                        for (int whole = 0; whole < 2; whole++) {
                                Opened o;
                                print_message("case: %s, version %u\n", aims[k].name, version);
                                begin(&image, version);
                                image_map(&image, 0, COPIED | aims[k].at * C);
                                open_or_fail(&image, &o);
                                assert_int_equal(try_write(&o, '#', whole ? C : 10, 0), -EIO);
                                assert_refused(&o, &image, version);
                                image_close(&o);
                        }
}

/* Zeroes with a place: the place would be filled and used. */
static void test_a_reserved_place_aims_at_metadata(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(aims) / sizeof(aims[0]); k++) {
                Opened o;
                print_message("case: %s\n", aims[k].name);
                begin(&image, 3);
                image_map(&image, 0, COPIED | ZERO | aims[k].at * C);
                open_or_fail(&image, &o);
                int r = try_write(&o, '#', 10, 0);
                (void)node_flush(o.node);
                /* A new place is as good as a refusal. */
                assert_true(r == 0 || r == -EIO);
                for (uint64_t i = 0; i < C; i++)
                        if (aims[k].at != L2 && aims[k].at != BLOCK)
                                assert_int_equal(stored(&o, aims[k].at * C + i, 1),
                                                 image.bytes[aims[k].at * C + i]);
                image_close(&o);
        }
}

/* The L2 table itself lies in something else. */
static void test_a_table_lies_in_other_metadata(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(aims) / sizeof(aims[0]); k++) {
                if (aims[k].at == L2 || aims[k].at == SECOND_L2)
                        continue;
                Opened o;
                print_message("case: %s\n", aims[k].name);
                begin(&image, 3);
                image_put(&image, 2 * C + 8, 8, COPIED | aims[k].at * C);
                image_open_writable(&image, NULL, &o);
                if (o.r < 0) {
                        image_close(&o);
                        continue;
                }
                /* An entry that looks empty, where the table is sparse. */
                assert_true(try_write(&o, '#', C, (64 + 60) * C) < 0);
                (void)node_flush(o.node);
                for (uint64_t i = 0; i < C; i++)
                        assert_int_equal(stored(&o, aims[k].at * C + i, 1),
                                         image.bytes[aims[k].at * C + i]);
                assert_bytes(&o, 's', C, 2 * C);
                image_close(&o);
        }
}

/* The image says that a cluster in use is free: it is not handed out. */
static void test_metadata_that_counts_as_free(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(aims) / sizeof(aims[0]); k++) {
                Opened o;
                print_message("case: %s\n", aims[k].name);
                begin(&image, 3);
                image_set_refcount(&image, aims[k].at, 0);
                open_or_fail(&image, &o);
                for (uint64_t i = 10; i < 16; i++)
                        (void)try_write(&o, '#', C, i * C);
                (void)node_flush(o.node);
                (void)node_flush(o.node);
                assert_int_equal(stored(&o, 0, 4), 0x514649fb);
                for (uint64_t i = 0; i < C; i++)
                        assert_int_not_equal(stored(&o, aims[k].at * C + i, 1), '#');
                assert_bytes(&o, 's', C, 2 * C);
                image_close(&o);
        }
        /* The header as well. */
        Opened o;
        begin(&image, 3);
        image_set_refcount(&image, 0, 0);
        open_or_fail(&image, &o);
        for (uint64_t i = 10; i < 16; i++)
                (void)try_write(&o, '#', C, i * C);
        (void)node_flush(o.node);
        assert_int_equal(stored(&o, 0, 4), 0x514649fb);
        assert_int_equal(stored(&o, IMAGE_CLUSTER_BITS, 4), 9);
        image_close(&o);
}

/* Data that is counted as free is not handed out to a second guest cluster while it is being written to. */
static void test_entries_that_cannot_be_written_to(void **state)
{
        static const struct {
                const char *name;
                uint64_t entry;
        } broken[] = {
                { "misaligned", COPIED | (SOUND * C + 1024 * 1024 + 0x100) },
                { "reserved bit", COPIED | SOUND * C | 2 },
                { "past the end of the file", COPIED | 1 << 30 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(broken) / sizeof(broken[0]); k++) {
                Opened o;
                print_message("case: %s\n", broken[k].name);
                begin(&image, 3);
                image_map(&image, 0, broken[k].entry);
                open_or_fail(&image, &o);
                uint64_t size = stored_size(&o);
                assert_int_equal(try_write(&o, '#', 10, 0), -EIO);
                assert_int_equal(stored_size(&o), size);
                assert_bytes(&o, 's', C, 2 * C);
                image_close(&o);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_entry_for_data_aims_at_metadata),
                cmocka_unit_test(test_a_reserved_place_aims_at_metadata),
                cmocka_unit_test(test_a_table_lies_in_other_metadata),
                cmocka_unit_test(test_metadata_that_counts_as_free),
                cmocka_unit_test(test_entries_that_cannot_be_written_to),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
