/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/cache.h"
#include "block/check.h"
#include "block/node.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
        NODE = 4096,
        BAND = 1024,
        BANDS = 8, /* of the disk; the last one has a sector only */
        SLOTS_AT = 64,
        LEN_MAX = NODE + 6 * BAND,
};

extern const Format format_sparseimage;

static uint8_t image[LEN_MAX];

static void put(size_t at, size_t size, uint64_t value)
{
        for (size_t k = size; k > 0; k--, value >>= 8)
                image[at + k - 1] = (uint8_t)value;
}

/* Bands 1, 2, 3 and 8 (counted from 1) in slots 0, 1, 3 and 5, each full of its own number. */
static void make(void)
{
        static const uint8_t bands[] = { 1, 2, 0, 3, 0, 8 };

        memset(image, 0, sizeof(image));
        memcpy(image, "sprs", 4);
        put(4, 4, 3);
        put(8, 4, BAND / 512);
        put(12, 4, 1);
        put(16, 4, 15);
        put(28, 8, 15);
        for (size_t i = 0; i < sizeof(bands); i++) {
                put(SLOTS_AT + 4 * i, 4, bands[i]);
                memset(image + NODE + i * BAND, bands[i], BAND);
        }
}

static Node *open_image(size_t len, Cache *c)
{
        NodeOptions options = { .cache = c };
        Err err = { "" };
        Store *s = NULL;
        Node *n = NULL;

        assert_int_equal(mem_store_new(image, len, &s), 0);
        if (node_open(&format_sparseimage, s, &options, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

/* Neighbours on the disk and in the file are one extent; what is missing is zeroes. */
static void test_map(void **state)
{
        _cleanup_cache_ Cache *c = NULL;
        uint8_t buf[15 * 512];
        Extent e = { 0 };

        make();
        assert_int_equal(cache_new(0, &c), 0);
        _cleanup_node_ Node *n = open_image(LEN_MAX, c);
        assert_int_equal(node_get_size(n), sizeof(buf));
        assert_int_equal(n->format->map(n, 100, sizeof(buf) - 100, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(e.off, 0);
        assert_int_equal(e.len, 2 * BAND);
        assert_int_equal(e.pos, NODE);
        assert_int_equal(n->format->map(n, 100, BAND - 100, &e), 0);
        assert_int_equal(e.len, BAND);
        assert_int_equal(n->format->map(n, 3 * BAND, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_HOLE);
        assert_int_equal(e.len, 4 * BAND);
        assert_int_equal(n->format->map(n, 7 * BAND + 1, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(e.len, 512);
        assert_int_equal(e.pos, NODE + 5 * BAND);
        assert_int_equal(node_read(n, buf, sizeof(buf), 0), 0);
        for (size_t i = 0; i < sizeof(buf); i++) {
                uint8_t number = (uint8_t)(i / BAND + 1);
                assert_int_equal(buf[i], number <= 3 || number == 8 ? number : 0);
        }
}

static void test_check(void **state)
{
        CheckReport report = { 0 };
        _cleanup_cache_ Cache *c = NULL;

        make();
        assert_int_equal(cache_new(0, &c), 0);
        _cleanup_node_ Node *n = open_image(LEN_MAX - 512, c);
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions, 0);
        assert_int_equal(report.total_clusters, BANDS);
        assert_int_equal(report.allocated_clusters, 4);
        assert_int_equal(report.fragmented_clusters, 2);
        assert_int_equal(report.image_end, LEN_MAX - 512);

        _cleanup_node_ Node *cut = open_image(NODE + 3 * BAND + 100, c);
        report = (CheckReport){ 0 };
        assert_int_equal(node_check(cut, &report), 0);
        assert_int_equal(report.corruptions, 2);

        put(20, 8, LEN_MAX);
        _cleanup_node_ Node *lost = open_image(LEN_MAX, c);
        report = (CheckReport){ 0 };
        assert_int_equal(node_check(lost, &report), 0);
        assert_int_equal(report.corruptions, 1);
        uint8_t byte;
        assert_int_equal(node_read(lost, &byte, 1, 0), 0);
        assert_int_equal(node_read(lost, &byte, 1, 3 * BAND), -EIO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_map),
                cmocka_unit_test(test_check),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
