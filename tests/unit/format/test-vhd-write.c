/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/node.h"
#include "store/mem.h"
#include "store/recorder.h"
#include "tests/unit/fd-count.h"
#include "tests/unit/format/vhd-image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vhd;

enum {
        DISK = 10 * 4096,
        BLOCK = 4096,
        PLACE = 512 + BLOCK,
        LARGE_BLOCK = 32 * 1024, /* in which there are whole pages of a store */
};

/* An image that is written to, while all is recorded that reaches the file. */
typedef struct Scene {
        VhdImage image;
        Cache *cache;
        Recording *recording;
        Node *node;
        Err err;
} Scene;

static Scene scene;

static void scene_begin(Scene *s)
{
        memset(s, 0, sizeof(*s));
        vhd_image_begin(&s->image, 3, BLOCK, DISK);
}

static int scene_open(Scene *s, bool record)
{
        Store *inner = vhd_image_store(&s->image), *store = inner;
        assert_int_equal(cache_new(0, &s->cache), 0);
        NodeOptions options = { .writable = true, .cache = s->cache };

        if (record)
                assert_int_equal(recorder_store_new(inner, &s->recording, &store), 0);
        int r = node_open(&format_vhd, store, &options, NULL, &s->node, &s->err);
        if (r < 0)
                store_free(store);
        return r;
}

static void scene_close(Scene *s)
{
        s->node = node_close(s->node);
        s->recording = recording_free(s->recording);
        s->cache = cache_free(s->cache);
}

static void write_bytes(uint64_t off, size_t len, char byte)
{
        uint8_t bytes[4 * BLOCK];

        assert_true(len <= sizeof(bytes));
        memset(bytes, byte, len);
        assert_int_equal(node_write(scene.node, bytes, len, off), 0);
}

static void assert_bytes(Store *s, uint64_t pos, const void *bytes, size_t len)
{
        uint8_t found[512];

        assert_int_equal(store_read(s, found, len, pos), 0);
        assert_memory_equal(found, bytes, len);
}

static uint64_t size_of(Store *s)
{
        uint64_t size = 0;

        assert_int_equal(store_get_size(s, &size), 0);
        return size;
}

static void check_image(uint64_t corruptions, uint64_t leaks)
{
        Cache *c = NULL;
        Store *copy = NULL;
        Node *n = NULL;
        CheckReport report = { .repair = CHECK_LOOK };
        assert_int_equal(cache_new(0, &c), 0);
        NodeOptions options = { .cache = c, .for_check = true };

        assert_int_equal(mem_store_copy(scene.node->store, &copy), 0);
        assert_int_equal(node_open(&format_vhd, copy, &options, NULL, &n, NULL), 0);
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions, corruptions);
        assert_int_equal(report.leaks, leaks);
        node_close(n);
        cache_free(c);
}

/* The footer moves, the bitmap takes its place, and the BAT knows the block after a flush. */
static void test_new_block(void **state)
{
        static const uint8_t absent[4] = { 0xff, 0xff, 0xff, 0xff }, entry[4] = { 0, 0, 0, 4 };
        static const uint8_t bitmap[4] = { 0xff, 0, 0, 0 };

        scene_begin(&scene);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, false), 0);
        Store *s = scene.node->store;
        assert_int_equal(size_of(s), VHD_IMAGE_BLOCKS + 512);
        write_bytes(3 * BLOCK + 7, 9, 'x');
        assert_int_equal(size_of(s), VHD_IMAGE_BLOCKS + PLACE + 512);
        assert_bytes(s, VHD_IMAGE_BLOCKS + PLACE, scene.image.bytes, 512);
        assert_bytes(s, VHD_IMAGE_BLOCKS, bitmap, 4);
        assert_bytes(s, VHD_IMAGE_BLOCKS + 512 + 7, "xxxxxxxxx", 10);
        assert_bytes(s, VHD_IMAGE_BAT + 12, absent, 4);
        assert_int_equal(node_flush(scene.node), 0);
        assert_bytes(s, VHD_IMAGE_BAT + 12, entry, 4);
        check_image(0, 0);
        scene_close(&scene);
}

/* A flush costs two syncs where blocks are new, one where they were there, none without a change. */
static void test_syncs(void **state)
{
        static const struct {
                uint64_t off;
                size_t len, syncs;
        } steps[] = {
                { BLOCK, 3 * BLOCK, 2 },
                { BLOCK + 9, 700, 1 },
                { 0, 0, 0 },
                { 0, 1, 2 },
        };

        scene_begin(&scene);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, true), 0);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                size_t before = recording_get_count(scene.recording);
                if (steps[i].len > 0)
                        write_bytes(steps[i].off, steps[i].len, 'x');
                assert_int_equal(node_flush(scene.node), 0);
                size_t after = recording_get_count(scene.recording);
                assert_int_equal(recording_count_syncs(scene.recording, before, after),
                                 steps[i].syncs);
        }
        scene_close(&scene);
}

/* A writer that fills bitmaps as it goes, over a place that held something else. */
static void test_partial_block(void **state)
{
        uint8_t found[BLOCK], wanted[BLOCK] = { 0 };

        scene_begin(&scene);
        vhd_image_block(&scene.image, 2, 'o', 0xa0);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, false), 0);
        memset(wanted, 'o', 512);
        memset(wanted + 1024, 'o', 512);
        assert_int_equal(node_read(scene.node, found, BLOCK, 2 * BLOCK), 0);
        assert_memory_equal(found, wanted, BLOCK);
        write_bytes(2 * BLOCK + 600, 5, 'n');
        memset(wanted + 600, 'n', 5);
        assert_int_equal(node_read(scene.node, found, BLOCK, 2 * BLOCK), 0);
        assert_memory_equal(found, wanted, BLOCK);
        assert_bytes(scene.node->store, VHD_IMAGE_BLOCKS, "\xff", 2);
        check_image(0, 0);
        scene_close(&scene);
}

/* A place that was not filled is used by the next block. */
static void test_released_place(void **state)
{
        uint8_t bytes[BLOCK] = { 0 }, found[BLOCK];

        scene_begin(&scene);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, false), 0);
        Extent e = { 0 };
        assert_int_equal(scene.node->format->alloc(scene.node, 0, 1, &e), 0);
        assert_int_equal(store_write(e.store, "garbage", 7, e.pos + 100), 0);
        scene.node->format->release(scene.node, &e);
        write_bytes(5 * BLOCK, 3, 'y');
        memset(bytes, 'y', 3);
        assert_int_equal(node_read(scene.node, found, BLOCK, 5 * BLOCK), 0);
        assert_memory_equal(found, bytes, BLOCK);
        assert_int_equal(node_flush(scene.node), 0);
        assert_int_equal(size_of(scene.node->store), VHD_IMAGE_BLOCKS + PLACE + 512);
        check_image(0, 0);
        scene_close(&scene);
}

/* Places at the end that nothing came of go with the next flush, also several. */
static void test_given_back(void **state)
{
        Extent e[3] = { 0 };

        scene_begin(&scene);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, false), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(scene.node->format->alloc(scene.node, i * BLOCK, 1, &e[i]), 0);
        assert_int_equal(scene.node->format->publish(scene.node, &e[0]), 0);
        scene.node->format->release(scene.node, &e[1]);
        scene.node->format->release(scene.node, &e[2]);
        assert_int_equal(size_of(scene.node->store), VHD_IMAGE_BLOCKS + 3 * PLACE + 512);
        assert_int_equal(node_flush(scene.node), 0);
        assert_int_equal(size_of(scene.node->store), VHD_IMAGE_BLOCKS + PLACE + 512);
        check_image(0, 0);
        write_bytes(4 * BLOCK + 5, 3, 'x');
        assert_int_equal(node_flush(scene.node), 0);
        check_image(0, 0);
        scene_close(&scene);
}

/* What a crash has left between two blocks is used again; what it has left at the end stays. */
static void test_gap(void **state)
{
        static const uint8_t absent[4] = { 0xff, 0xff, 0xff, 0xff };

        scene_begin(&scene);
        for (unsigned i = 0; i < 4; i++)
                vhd_image_block(&scene.image, i, (uint8_t)('a' + i), 0xff);
        memcpy(scene.image.bytes + VHD_IMAGE_BAT + 4, absent, 4);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, false), 0);
        uint64_t before = size_of(scene.node->store);
        check_image(0, 1);
        write_bytes(7 * BLOCK + 1, 1, 'z');
        assert_int_equal(node_flush(scene.node), 0);
        assert_int_equal(size_of(scene.node->store), before);
        check_image(0, 0);
        uint8_t found[3];
        assert_int_equal(node_read(scene.node, found, 3, 7 * BLOCK), 0);
        assert_memory_equal(found, "\0z\0", 3);
        scene_close(&scene);
}

/* An image whose front footer is broken gets it back before its end moves. */
static void test_front_is_mended(void **state)
{
        scene_begin(&scene);
        vhd_image_finish(&scene.image);
        VhdImage sound = scene.image;
        scene.image.bytes[70]++;
        assert_int_equal(scene_open(&scene, false), 0);
        write_bytes(0, 1, 'x');
        assert_bytes(scene.node->store, 0, sound.bytes, 512);
        assert_int_equal(node_flush(scene.node), 0);
        check_image(0, 0);
        scene_close(&scene);
}

/* Without a footer at the end there is one again. Nothing of what is there is used. */
static void test_end_is_mended(void **state)
{
        scene_begin(&scene);
        vhd_image_block(&scene.image, 0, 'a', 0xff);
        vhd_image_finish(&scene.image);
        scene.image.bytes[scene.image.len - 512]++;
        scene.image.len -= 100;
        assert_int_equal(scene_open(&scene, false), 0);
        check_image(0, 1);
        write_bytes(BLOCK, 1, 'x');
        assert_int_equal(node_flush(scene.node), 0);
        assert_bytes(scene.node->store, size_of(scene.node->store) - 512, scene.image.bytes, 512);
        check_image(0, 0);
        scene_close(&scene);
}

static void test_discard_gives_space_back(void **state)
{
        StoreStat before = { 0 }, after = { 0 };

        scene_begin(&scene);
        vhd_image_begin(&scene.image, 3, LARGE_BLOCK, DISK);
        vhd_image_block(&scene.image, 0, 'a', 0xff);
        vhd_image_block(&scene.image, 1, 'b', 0xff);
        vhd_image_finish(&scene.image);
        assert_int_equal(scene_open(&scene, false), 0);
        assert_int_equal(store_get_stat(scene.node->store, &before), 0);
        assert_int_equal(node_discard(scene.node, 0, DISK), 0);
        assert_int_equal(store_get_stat(scene.node->store, &after), 0);
        assert_true(after.allocated < before.allocated);
        uint8_t found[DISK], zeroes[DISK] = { 0 };
        assert_int_equal(node_read(scene.node, found, sizeof(found), 0), 0);
        assert_memory_equal(found, zeroes, sizeof(found));
        check_image(0, 0);
        scene_close(&scene);
}

static void expect_refusal(int code, const char *words)
{
        assert_int_equal(scene_open(&scene, false), -code);
        if (!strstr(scene.err.text, words))
                fail_msg("'%s' is not in: %s", words, scene.err.text);
        scene_close(&scene);
}

static void test_refused(void **state)
{
        scene_begin(&scene);
        vhd_image_block(&scene.image, 0, 'a', 0xff);
        vhd_image_block(&scene.image, 1, 'b', 0xff);
        VhdImage two = scene.image;

        vhd_image_put(&scene.image, VHD_IMAGE_BAT + 4, 4, 4);
        vhd_image_finish(&scene.image);
        expect_refusal(EBADMSG, "a block at 2048 lies over another one");

        scene.image = two;
        vhd_image_put(&scene.image, VHD_IMAGE_BAT + 4, 4, 3);
        vhd_image_finish(&scene.image);
        expect_refusal(EBADMSG, "a block at 1536 lies over the footer, header or BAT");

        scene.image = two;
        vhd_image_put(&scene.image, VHD_IMAGE_BAT + 4, 4, 1000000);
        vhd_image_finish(&scene.image);
        expect_refusal(EBADMSG, "a block at 512000000 ends past the end of the file");

        scene.image = two;
        scene.image.len -= 512;
        vhd_image_finish(&scene.image);
        expect_refusal(EBADMSG, "behind the footer at");

        scene.image = two;
        vhd_image_finish(&scene.image);
        scene.image.bytes[VHD_IMAGE_HEADER_SUM]++;
        expect_refusal(EBADMSG, "its checksum is not that of its bytes");

        scene.image = two;
        vhd_image_put(&scene.image, VHD_IMAGE_TABLE_OFFSET, 8, VHD_IMAGE_BAT + 4);
        vhd_image_finish(&scene.image);
        expect_refusal(EOPNOTSUPP, "table offset 1540 is no multiple of 512");

        scene.image = two;
        scene.image.bytes[VHD_IMAGE_SAVED_STATE] = 1;
        vhd_image_finish(&scene.image);
        expect_refusal(EUCLEAN, "has saved its state");

        vhd_image_begin(&scene.image, 4, BLOCK, DISK);
        vhd_image_finish(&scene.image);
        expect_refusal(EOPNOTSUPP, "a differencing disk can only be opened read-only");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new_block),
                cmocka_unit_test(test_syncs),
                cmocka_unit_test(test_partial_block),
                cmocka_unit_test(test_released_place),
                cmocka_unit_test(test_given_back),
                cmocka_unit_test(test_gap),
                cmocka_unit_test(test_front_is_mended),
                cmocka_unit_test(test_end_is_mended),
                cmocka_unit_test(test_discard_gives_space_back),
                cmocka_unit_test(test_refused),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
