/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "format/qcow2/qcow2.h"
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

enum {
        CLUSTER = 65536,
        /* Of the bits of an entry, where the number of further sectors begins. */
        SECTORS_AT = 54,
};

static uint8_t guest[CLUSTER];
static uint8_t packed[2 * CLUSTER];

static void make_guest(void)
{
        uint32_t x = 1;

        for (size_t i = 0; i < CLUSTER; i++) {
                x = x * 1664525 + 1013904223;
                guest[i] = (uint8_t)(x >> 24 & (i < 8192 ? 0xff : 0x03));
        }
}

static size_t deflate_guest(size_t len, int flush)
{
        z_stream z = { 0 };

        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = guest;
        z.avail_in = (uInt)len;
        z.next_out = packed;
        z.avail_out = sizeof(packed);
        deflate(&z, flush);
        size_t got = sizeof(packed) - z.avail_out;
        deflateEnd(&z);
        return got;
}

static size_t zstd_guest(size_t from, size_t len, size_t at)
{
        size_t n = ZSTD_compress(packed + at, sizeof(packed) - at, guest + from, len, 3);
        assert_false(ZSTD_isError(n));
        return n;
}

static void begin(Image *i, bool zstd)
{
        make_guest();
        image_begin(i, 16, 4 * CLUSTER, false);
        if (zstd) {
                image_put(i, IMAGE_INCOMPATIBLE, 8, 8);
                image_put(i, IMAGE_COMPRESSION_TYPE, 1, 1);
        }
}

/* Puts the first `len` bytes of `packed` at `pos`, as guest cluster 1. */
static void put_coded(Image *i, uint64_t pos, size_t len)
{
        uint64_t further = (pos + len - 1) / 512 - pos / 512;

        image_put_bytes(i, pos, packed, len);
        image_map(i, 1, IMAGE_COMPRESSED | further << SECTORS_AT | pos);
}

/* Reads guest cluster 1. */
static int read_it(const Image *i, uint8_t *ret)
{
        Opened o;

        image_open(i, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        memset(ret, 0xaa, CLUSTER);
        int r = node_read(o.node, ret, CLUSTER, CLUSTER);
        image_close(&o);
        return r;
}

static void test_deflate(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        begin(&image, false);
        size_t len = deflate_guest(CLUSTER, Z_FINISH);
        /* Begins and ends in the middle of sectors, and crosses from one host cluster to the next. */
        put_coded(&image, 6 * CLUSTER - 777, len);
        assert_int_equal(read_it(&image, got), 0);
        assert_memory_equal(got, guest, CLUSTER);
}

static void test_deflate_without_its_end(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        /* All bytes are there, but not the mark that ends the stream; junk follows. */
        begin(&image, false);
        size_t len = deflate_guest(CLUSTER, Z_SYNC_FLUSH);
        memset(image.bytes + 5 * CLUSTER, 0xff, CLUSTER);
        put_coded(&image, 5 * CLUSTER, len - 4);
        assert_int_equal(read_it(&image, got), 0);
        assert_memory_equal(got, guest, CLUSTER);
}

static void test_deflate_of_less_than_a_cluster(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        begin(&image, false);
        put_coded(&image, 5 * CLUSTER, deflate_guest(CLUSTER - 1, Z_FINISH));
        assert_int_equal(read_it(&image, got), -EIO);
}

static void test_deflate_cut(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        begin(&image, false);
        put_coded(&image, 5 * CLUSTER, deflate_guest(CLUSTER, Z_FINISH) / 2);
        assert_int_equal(read_it(&image, got), -EIO);
}

static void test_deflate_of_more_than_a_cluster(void **state)
{
        static Image image;
        static uint8_t got[512];
        Opened o;

        /* The stream of 64 KiB stands for a cluster of 512 bytes: only those come out. */
        make_guest();
        image_begin(&image, 9, 2048, false);
        size_t len = deflate_guest(CLUSTER, Z_FINISH);
        image_put_bytes(&image, 0x8000, packed, len);
        image_map(&image, 1, IMAGE_COMPRESSED | UINT64_C(1) << 61 | 0x8000);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(node_read(o.node, got, 512, 512), 0);
        assert_memory_equal(got, guest, 512);
        image_close(&o);
}

static void test_file_ends_within_the_last_sector(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        begin(&image, false);
        size_t len = deflate_guest(CLUSTER, Z_FINISH);
        put_coded(&image, 5 * CLUSTER, len);
        image.len = 5 * CLUSTER + len;
        assert_int_equal(read_it(&image, got), 0);
        assert_memory_equal(got, guest, CLUSTER);

        image.len = 5 * CLUSTER;
        assert_int_equal(read_it(&image, got), -EIO);
}

static void test_zstd_of_many_frames(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        for (size_t frames = 1; frames <= 4; frames++) {
                size_t len = 0;

                begin(&image, true);
                for (size_t k = 0; k < frames; k++)
                        len += zstd_guest(k * CLUSTER / frames,
                                          (k + 1) * CLUSTER / frames - k * CLUSTER / frames, len);
                put_coded(&image, 6 * CLUSTER - 100, len);
                assert_int_equal(read_it(&image, got), 0);
                assert_memory_equal(got, guest, CLUSTER);
        }
}

static void test_zstd_of_less_and_of_more(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        begin(&image, true);
        put_coded(&image, 5 * CLUSTER, zstd_guest(0, CLUSTER - 1, 0));
        assert_int_equal(read_it(&image, got), -EIO);

        /* The second frame has a byte too many for the cluster. */
        begin(&image, true);
        size_t len = zstd_guest(0, CLUSTER / 2, 0);
        len += zstd_guest(CLUSTER / 2 - 1, CLUSTER / 2 + 1, len);
        put_coded(&image, 5 * CLUSTER, len);
        assert_int_equal(read_it(&image, got), -EIO);
}

enum {
        READERS = 2 * QCOW2_SPARE_DECODERS,
        READS = 60,
};

typedef struct Reader {
        Node *node;
        pthread_t thread;
        bool wrong;
} Reader;

static void *reader_run(void *arg)
{
        Reader *r = arg;
        _cleanup_free_ uint8_t *got = malloc(CLUSTER);

        for (unsigned i = 0; got && i < READS; i++) {
                if (node_read(r->node, got, CLUSTER, CLUSTER) != 0 ||
                    memcmp(got, guest, CLUSTER) != 0 ||
                    node_read(r->node, got, CLUSTER, 2 * CLUSTER) != -EIO)
                        r->wrong = true;
        }
        return NULL;
}

/* More threads than decoders are kept, each of which has just met something broken. */
static void test_zstd_of_many_threads(void **state)
{
        static Image image;
        Reader readers[READERS];
        Opened o;

        begin(&image, true);
        size_t len = zstd_guest(0, CLUSTER, 0);
        put_coded(&image, 5 * CLUSTER, len);
        packed[len / 2] ^= 0x55;
        packed[len / 3] ^= 0x55;
        image_put_bytes(&image, 6 * CLUSTER, packed, len / 2);
        image_map(&image, 2, IMAGE_COMPRESSED | (len / 512) << SECTORS_AT | 6 * CLUSTER);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        for (size_t i = 0; i < READERS; i++) {
                readers[i] = (Reader){ .node = o.node };
                assert_int_equal(pthread_create(&readers[i].thread, NULL, reader_run, &readers[i]),
                                 0);
        }
        for (size_t i = 0; i < READERS; i++) {
                pthread_join(readers[i].thread, NULL);
                assert_false(readers[i].wrong);
        }
        image_close(&o);
}

static void test_zstd_of_nothing(void **state)
{
        /* Frames that unpack to nothing must not be gone through for ever. */
        static const uint8_t skippable[8] = { 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0 };
        static Image image;
        static uint8_t got[CLUSTER];

        begin(&image, true);
        for (size_t k = 0; k < CLUSTER; k += sizeof(skippable))
                memcpy(packed + k, skippable, sizeof(skippable));
        put_coded(&image, 5 * CLUSTER, CLUSTER);
        assert_int_equal(read_it(&image, got), -EIO);
}

static void test_zstd_formats_of_old(void **state)
{
        /* Magic numbers 0xFD2FB522 to 27 are those of versions 0.2 to 0.7. */
        static Image image;
        static uint8_t got[CLUSTER];

        for (uint8_t version = 0x22; version <= 0x27; version++) {
                begin(&image, true);
                size_t len = zstd_guest(0, CLUSTER, 0);
                packed[0] = version;
                put_coded(&image, 5 * CLUSTER, len);
                assert_int_equal(read_it(&image, got), -EIO);
        }
}

static void test_garbage(void **state)
{
        static Image image;
        static uint8_t got[CLUSTER];

        for (int zstd = 0; zstd <= 1; zstd++) {
                begin(&image, zstd);
                memset(packed, 0xff, sizeof(packed));
                put_coded(&image, 5 * CLUSTER, CLUSTER);
                assert_int_equal(read_it(&image, got), -EIO);
        }
}

static void test_last_cluster_reaches_past_the_disk(void **state)
{
        static Image image;
        static uint8_t got[512];
        Opened o;

        begin(&image, false);
        image_put(&image, IMAGE_SIZE, 8, CLUSTER + 512);
        put_coded(&image, 5 * CLUSTER, deflate_guest(CLUSTER, Z_FINISH));
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(node_get_size(o.node), CLUSTER + 512);
        assert_int_equal(node_read(o.node, got, 512, CLUSTER), 0);
        assert_memory_equal(got, guest, 512);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_deflate),
                cmocka_unit_test(test_deflate_without_its_end),
                cmocka_unit_test(test_deflate_of_less_than_a_cluster),
                cmocka_unit_test(test_deflate_cut),
                cmocka_unit_test(test_deflate_of_more_than_a_cluster),
                cmocka_unit_test(test_file_ends_within_the_last_sector),
                cmocka_unit_test(test_zstd_of_many_frames),
                cmocka_unit_test(test_zstd_of_less_and_of_more),
                cmocka_unit_test(test_zstd_of_many_threads),
                cmocka_unit_test(test_zstd_of_nothing),
                cmocka_unit_test(test_zstd_formats_of_old),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_last_cluster_reaches_past_the_disk),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
