/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/qcow2-writing.h"

/* Clusters: 4 data of another guest cluster, 5 and 6 for the entry under test, 7 the refcount block. */
static void begin(Image *i, unsigned version, uint64_t entry)
{
        image_begin(i, 9, 64 * C, false);
        image_put(i, IMAGE_VERSION, 4, version);
        image_map(i, 0, COPIED | 4 * C);
        image_map(i, 1, entry);
        memset(i->bytes + 4 * C, 'a', C);
        memset(i->bytes + 5 * C, 'b', C);
        image_count(i, 7, 4);
        image_set_refcount(i, 6, 0);
        if ((entry & ~(COPIED | ZERO)) != 5 * C)
                image_set_refcount(i, 5, 0);
}

typedef struct Case {
        const char *name;
        unsigned version;
        uint64_t entry; /* of guest cluster 1 */
        uint64_t off;   /* within it */
        size_t len;
        uint64_t after; /* the entry then */
        uint8_t before; /* what the rest of it shows */
} Case;

/* With version 2 the zero flag is not known. Clusters 5 and 6 are free unless the entry refers to them. */
static const Case cases[] = {
        { "nothing", 3, 0, 0, C, COPIED | 5 * C, 0 },
        { "nothing, a part", 3, 0, 100, 10, COPIED | 5 * C, 0 },
        { "nothing, version 2", 2, 0, 100, 10, COPIED | 5 * C, 0 },
        { "zeroes", 3, ZERO, 100, 10, COPIED | 5 * C, 0 },
        { "in place", 3, COPIED | 5 * C, 100, 10, COPIED | 5 * C, 'b' },
        { "in place, version 2", 2, COPIED | 5 * C, 0, C, COPIED | 5 * C, 'b' },
        { "zeroes with a place", 3, COPIED | 5 * C | ZERO, 100, 10, COPIED | 5 * C, 0 },
        { "zeroes with a place, whole", 3, COPIED | 5 * C | ZERO, 0, C, COPIED | 5 * C, 0 },
};

static void test_where_a_cluster_goes(void **state)
{
        static Image image;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                const Case *c = &cases[k];
                Opened o;
                print_message("case: %s\n", c->name);
                begin(&image, c->version, c->entry);
                open_or_fail(&image, &o);

                write_bytes(&o, '#', c->len, C + c->off);
                for (int turn = 0; turn < 2; turn++) {
                        assert_bytes(&o, 'a', C, 0);
                        assert_bytes(&o, c->before, c->off, C);
                        assert_bytes(&o, '#', c->len, C + c->off);
                        assert_bytes(&o, c->before, C - c->off - c->len, C + c->off + c->len);
                        assert_bytes(&o, 0, C, 2 * C);
                        assert_sound(&o);
                        assert_int_equal(stored(&o, L2 * C + 8, 8), c->after);
                        reopen(&o);
                }
                image_close(&o);
        }
}

/* A cluster that a snapshot shows as well: data in a new place, the old one stays, one reference less. */
static void test_shared_clusters_are_copied(void **state)
{
        static const struct {
                const char *name;
                uint64_t entry;
                uint8_t before;
        } shared[] = {
                { "data", 4 * C, 'a' },
                { "zeroes with a place", 4 * C | ZERO, 0 },
        };
        static Image image;

        for (size_t k = 0; k < 2; k++) {
                Opened o;
                print_message("case: %s\n", shared[k].name);
                /* The snapshot has a table of its own, which says the same. */
                image_begin(&image, 9, 64 * C, false);
                image_map(&image, 0, shared[k].entry);
                memset(image.bytes + 4 * C, 'a', C);
                image_put(&image, 5 * C, 8, shared[k].entry);
                image_put(&image, 6 * C, 8, 5 * C);
                image_snapshot(&image, 7 * C, 6 * C);
                image_count(&image, 8, 4);
                image_set_refcount(&image, 4, 2);
                open_or_fail(&image, &o);

                write_bytes(&o, '#', 10, 100);
                assert_bytes(&o, shared[k].before, 100, 0);
                assert_bytes(&o, '#', 10, 100);
                assert_bytes(&o, shared[k].before, C - 110, 110);
                assert_sound(&o);
                assert_int_equal(stored(&o, L2 * C, 8), COPIED | 9 * C);
                assert_int_equal(stored_refcount(&o, 4), 1);
                assert_int_equal(stored(&o, 4 * C + 100, 1), 'a');
                image_close(&o);
        }
}

/* Clusters 4 and 5 hold packed data: of guest cluster 0 in both, of guest cluster 1 in the second. */
static void test_packed_clusters_are_unpacked_once(void **state)
{
        /* 512 bytes of 'x', deflated. */
        static const uint8_t packed[] = { 0xab, 0xa8, 0x18, 0x05, 0x23, 0x19, 0x00, 0x00 };
        static Image image;
        const unsigned more = 62 - 1;
        Opened o;

        image_begin(&image, 9, 64 * C, false);
        image_put_bytes(&image, 5 * C - 5, packed, sizeof(packed));
        image_put_bytes(&image, 5 * C + 100, packed, sizeof(packed));
        image_map(&image, 0, PACKED | UINT64_C(1) << more | (5 * C - 5));
        image_map(&image, 1, PACKED | (5 * C + 100));
        image_count(&image, 6, 4);
        image_set_refcount(&image, 5, 2);
        open_or_fail(&image, &o);
        assert_bytes(&o, 'x', 2 * C, 0);

        write_bytes(&o, '#', 10, 100);
        assert_sound(&o);
        assert_bytes(&o, 'x', 100, 0);
        assert_bytes(&o, '#', 10, 100);
        assert_bytes(&o, 'x', 2 * C - 110, 110);
        /* Both clusters that its sectors lay in have one reference less. */
        assert_int_equal(stored_refcount(&o, 4), 0);
        assert_int_equal(stored_refcount(&o, 5), 1);
        write_bytes(&o, '!', C, C);
        assert_sound(&o);
        assert_int_equal(stored_refcount(&o, 5), 0);
        image_close(&o);
}

/* One request for many clusters: side by side, and the file no longer than they need. */
static void test_neighbours_stay_neighbours(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 64 * C, false);
        image_count(&image, 4, 4);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', 16 * C, 2 * C);
        write_bytes(&o, '#', 16 * C, 18 * C);
        assert_sound(&o);
        for (uint64_t k = 0; k < 32; k++)
                assert_int_equal(stored(&o, L2 * C + 8 * (2 + k), 8), COPIED | (5 + k) * C);
        assert_int_equal(stored_size(&o), 37 * C);
        image_close(&o);
}

/* What was freed is used again, but only when nothing in the file refers to it any more. */
static void test_freed_clusters_wait_for_a_flush(void **state)
{
        static Image image;
        Opened o;

        begin(&image, 3, COPIED | 5 * C);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', 10, 30 * C);
        assert_int_equal(node_discard(o.node, C, C), 0);
        write_bytes(&o, '#', 2 * C, 10 * C);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_not_equal(stored(&o, L2 * C + 80, 8), COPIED | 5 * C);
        assert_int_not_equal(stored(&o, L2 * C + 88, 8), COPIED | 5 * C);
        flush(&o);

        uint64_t size = stored_size(&o);
        write_bytes(&o, '!', 10, 20 * C);
        assert_sound(&o);
        assert_int_equal(stored(&o, L2 * C + 160, 8), COPIED | 5 * C);
        assert_int_equal(stored_size(&o), size);
        /* And the old bytes do not show. */
        assert_bytes(&o, 0, C - 10, 20 * C + 10);
        image_close(&o);
}

/* Over and over: the file does not grow. */
static void test_rewriting_does_not_grow_the_file(void **state)
{
        static Image image;
        uint64_t size = 0;
        Opened o;

        image_begin(&image, 9, 64 * C, false);
        image_count(&image, 4, 4);
        open_or_fail(&image, &o);
        for (int round = 0; round < 50; round++) {
                write_bytes(&o, (uint8_t)(round + 1), 20 * C, (uint64_t)(round % 3) * 20 * C);
                assert_int_equal(node_flush(o.node), 0);
                assert_int_equal(node_discard(o.node, (uint64_t)(round % 3) * 20 * C, 20 * C), 0);
                assert_int_equal(node_flush(o.node), 0);
                if (round == 5)
                        size = stored_size(&o);
        }
        assert_true(stored_size(&o) <= size);
        assert_sound(&o);
        image_close(&o);
}

typedef struct ExtendedCase {
        const char *name;
        uint64_t entry, bitmap;
        uint64_t off;
        size_t len;
        uint64_t bitmap_after;
        uint64_t zero_off; /* of 512 bytes that show zeroes then */
} ExtendedCase;

/* Clusters of 16 KiB, subclusters of 512 bytes. */
static void test_subclusters(void **state)
{
        enum {
                BIG = 1 << 14,
        };
        static const uint64_t zeroes = UINT64_C(0xffffffff00000000);
        static const ExtendedCase extended[] = {
                { "nothing", 0, 0, 2 * 512, 2 * 512, 0xc, 0 },
                { "nothing, ragged", 0, 0, 2 * 512 + 1, 2 * 512 - 2, 0xc, 4 * 512 },
                { "nothing, whole", 0, 0, 0, BIG, 0xffffffff, 0 },
                { "zeroes", 0, zeroes, 512, 10, (zeroes & ~(UINT64_C(2) << 32)) | 2, 0 },
                { "a place and nothing in it", COPIED | 4 * BIG, 0, 512, 10, 2, 0 },
                { "a place and something in it", COPIED | 4 * BIG, 1, 512, 10, 3, 1024 },
                { "in place", COPIED | 4 * BIG, 0xff, 512, 10, 0xff, 8 * 512 },
                { "zeroes in place", COPIED | 4 * BIG, 1 | UINT64_C(2) << 32, 520, 10, 3, 1024 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(extended) / sizeof(extended[0]); k++) {
                const ExtendedCase *c = &extended[k];
                Opened o;
                print_message("case: %s\n", c->name);
                image_begin(&image, 14, 16 * BIG, true);
                image_map_extended(&image, 0, c->entry, c->bitmap);
                memset(image.bytes + 4 * BIG, 'b', BIG);
                image_count(&image, 5, 4);
                if (c->entry == 0)
                        image_set_refcount(&image, 4, 0);
                open_or_fail(&image, &o);

                write_bytes(&o, '#', c->len, c->off);
                assert_sound(&o);
                assert_int_equal(stored(&o, 3 * BIG, 8), COPIED | 4 * BIG);
                assert_int_equal(stored(&o, 3 * BIG + 8, 8), c->bitmap_after);
                assert_bytes(&o, '#', c->len, c->off);
                if (c->len < BIG)
                        assert_bytes(&o, c->bitmap & 1 && c->zero_off == 0 ? 'b' : 0, 512,
                                     c->zero_off);
                if (c->bitmap & 1)
                        assert_bytes(&o, 'b', 512, 0);
                image_close(&o);
        }
}

/* The last cluster is placed as a whole; behind the end of the disk it holds zeroes. */
static void test_the_last_cluster(void **state)
{
        enum {
                K = 1024,
        };
        static Image image;
        Opened o;

        image_begin(&image, 10, 5 * K / 2, false);
        image_count(&image, 4, 4);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', K / 2, 2 * K);
        assert_int_equal(try_write(&o, '#', K / 2 + 1, 2 * K), -ENOSPC);
        assert_sound(&o);
        assert_bytes(&o, '#', K / 2, 2 * K);
        assert_int_equal(stored(&o, 3 * K + 16, 8), COPIED | 5 * K);
        assert_int_equal(stored(&o, 5 * K + K / 2, 1), 0);
        assert_int_equal(node_resize(o.node, 3 * K), 0);
        assert_bytes(&o, 0, K / 2, 5 * K / 2);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_where_a_cluster_goes),
                cmocka_unit_test(test_shared_clusters_are_copied),
                cmocka_unit_test(test_packed_clusters_are_unpacked_once),
                cmocka_unit_test(test_neighbours_stay_neighbours),
                cmocka_unit_test(test_freed_clusters_wait_for_a_flush),
                cmocka_unit_test(test_rewriting_does_not_grow_the_file),
                cmocka_unit_test(test_subclusters),
                cmocka_unit_test(test_the_last_cluster),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
