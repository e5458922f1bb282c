/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains of every format that names a file below: how deep they may be, that they end, and what shines through. */
#include "sample.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "fake/shelf.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../unit/fd-count.h"

typedef struct Scene {
        Shelf shelf;
        Cache *cache;
} Scene;

static void scene_open(Scene *s)
{
        shelf_init(&s->shelf);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &s->cache), 0);
}

static void scene_close(Scene *s)
{
        cache_free(s->cache);
        shelf_done(&s->shelf);
}

static void put_sample(Scene *s,
                       const Sample *sample,
                       const char *name,
                       uint64_t inode,
                       const char *named,
                       const char *below)
{
        Store *store = NULL;
        assert_int_equal(sample->make(named, below, &store), 0);
        assert_int_equal(shelf_put(&s->shelf, name, inode, store), 0);
}

static void put_filled(Scene *s, const char *name, uint8_t byte, size_t len)
{
        _cleanup_free_ uint8_t *bytes = malloc(len + 1);
        Store *store = NULL;
        memset(bytes, byte, len);
        assert_int_equal(mem_store_new(bytes, len, &store), 0);
        assert_int_equal(shelf_put(&s->shelf, name, 0, store), 0);
}

/* The chain from "0"; on failure the top store is freed here, as it stays ours. */
static int scene_chain(Scene *s, Node **ret, Err *err)
{
        _cleanup_store_ Store *top = NULL;
        ChainRequest request = { .formats = sample_formats,
                                 .raw = &format_raw,
                                 .opener = &s->shelf.opener,
                                 .file_name = SAMPLE_FILE_NAME,
                                 .cache = s->cache };
        assert_int_equal(shelf_open(&s->shelf, "0", &top), 0);
        int r = chain_open(&request, top, ret, err);
        if (r >= 0)
                TAKE(top);
        return r;
}

/* Layers "0", "1", … of this format, `depth` of them, the last over nothing. */
static void put_layers(Scene *s, const Sample *sample, int depth)
{
        for (int i = 0; i < depth; i++) {
                char name[8], below[8];
                bool last = i == depth - 1;
                snprintf(name, sizeof(name), "%d", i);
                snprintf(below, sizeof(below), "%d", i + 1);
                put_sample(s, sample, name, 0, last ? NULL : below,
                           last ? NULL : sample->format->name);
        }
}

/* The text names the file, as the image does, which may be within a json: name, and ends so. */
static void assert_refused(const Err *err, const char *name, const char *why)
{
        static const char begin[] = "backing file '";
        char end[128];

        snprintf(end, sizeof(end), "': %s", why);
        size_t len = strlen(err->text), end_len = strlen(end);
        if (strncmp(err->text, begin, strlen(begin)) != 0 || !strstr(err->text, name) ||
            len < end_len || strcmp(err->text + len - end_len, end) != 0)
                fail_msg("%s: not about '%s', or not: %s", err->text, name, why);
}

static void test_depth(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                if (!sample->names_below)
                        continue;
                for (int depth = 1; depth <= LIMIT_CHAIN_DEPTH + 1; depth++) {
                        Scene s;
                        Err err = { "" };
                        scene_open(&s);
                        put_layers(&s, sample, depth);
                        {
                                _cleanup_node_ Node *n = NULL;
                                int r = scene_chain(&s, &n, &err);
                                assert_int_equal(r, depth <= LIMIT_CHAIN_DEPTH ? 0 : -EFBIG);
                                if (r < 0)
                                        assert_refused(&err, "32",
                                                       "it would be layer 33, and the limit is 32");
                        }
                        scene_close(&s);
                }
        }
}

/* The most there may be: what lies at the bottom is what shows. */
static void test_the_deepest_layer_shines_through(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                Scene s;
                Err err = { "" };
                if (!sample->names_below)
                        continue;
                scene_open(&s);
                for (int i = 0; i < LIMIT_CHAIN_DEPTH - 1; i++) {
                        char name[8], below[8];
                        bool last = i == LIMIT_CHAIN_DEPTH - 2;
                        snprintf(name, sizeof(name), "%d", i);
                        snprintf(below, sizeof(below), "%d", i + 1);
                        put_sample(&s, sample, name, 0, below, last ? "raw" : sample->format->name);
                }
                put_filled(&s, "31", 'z', SAMPLE_SIZE);
                {
                        uint8_t byte = 0;
                        _cleanup_node_ Node *n = NULL;
                        if (scene_chain(&s, &n, &err) < 0)
                                fail_msg("%s", err.text);
                        assert_int_equal(node_read(n, &byte, 1, 9 * SAMPLE_GRANULE), 0);
                        assert_int_equal(byte, 'z');
                }
                scene_close(&s);
        }
}

/* a over b over a …, and an image over itself. */
static void test_loops_end(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                for (int length = 1; sample->names_below && length <= 4; length++) {
                        Scene s;
                        Err err = { "" };
                        scene_open(&s);
                        for (int i = 0; i < length; i++) {
                                char name[8], below[8];
                                snprintf(name, sizeof(name), "%d", i);
                                snprintf(below, sizeof(below), "%d", (i + 1) % length);
                                put_sample(&s, sample, name, 100 + (uint64_t)i, below,
                                           sample->format->name);
                        }
                        {
                                _cleanup_node_ Node *n = NULL;
                                assert_int_equal(scene_chain(&s, &n, &err), -ELOOP);
                        }
                        assert_refused(&err, "0", "is in the chain already");
                        scene_close(&s);
                }
        }
}

/* Two names of one file are one file. */
static void test_the_same_file_under_another_name(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                Scene s;
                Err err = { "" };
                if (!sample->names_below)
                        continue;
                scene_open(&s);
                put_sample(&s, sample, "0", 7, "1", sample->format->name);
                put_sample(&s, sample, "1", 8, "link", sample->format->name);
                put_sample(&s, sample, "link", 7, NULL, NULL);
                {
                        _cleanup_node_ Node *n = NULL;
                        assert_int_equal(scene_chain(&s, &n, &err), -ELOOP);
                }
                assert_refused(&err, "link", "is in the chain already");
                scene_close(&s);
        }
}

/* A base of any length: what it has shines through, past its end are zeroes, past the disk's end nothing. */
static void test_shorter_and_longer_bases(void **state)
{
        static const size_t lengths[] = { 0,
                                          1,
                                          2 * SAMPLE_GRANULE + 1,
                                          5 * SAMPLE_GRANULE - 1,
                                          SAMPLE_SIZE - 512,
                                          SAMPLE_SIZE,
                                          SAMPLE_SIZE + 1,
                                          3 * SAMPLE_SIZE };
        static uint8_t disk[SAMPLE_SIZE + 4096];

        for (const Sample *sample = samples; sample->format; sample++)
                for (size_t i = 0; sample->names_below && i < sizeof(lengths) / sizeof(lengths[0]);
                     i++) {
                        Scene s;
                        Err err = { "" };
                        scene_open(&s);
                        put_sample(&s, sample, "0", 0, "base", "raw");
                        put_filled(&s, "base", 'b', lengths[i]);
                        {
                                _cleanup_node_ Node *n = NULL;
                                if (scene_chain(&s, &n, &err) < 0)
                                        fail_msg("%s", err.text);
                                assert_int_equal(node_get_size(n), SAMPLE_SIZE);
                                assert_int_equal(node_read(n, disk, sizeof(disk), 0), 0);
                        }
                        for (size_t off = 0; off < sizeof(disk); off++) {
                                uint8_t below = off < lengths[i] ? 'b' : 0;
                                uint8_t byte = off < SAMPLE_SIZE ? sample_byte(off, below) : 0;
                                if (disk[off] != byte)
                                        fail_msg("%s over %zu bytes: byte %zu is %u, not %u",
                                                 sample->format->name, lengths[i], off, disk[off],
                                                 byte);
                        }
                        scene_close(&s);
                }
}

/* A format below is what the layer above says, and it says something. */
static void test_no_layer_below_is_probed(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                Scene s;
                Err err = { "" };
                if (!sample->names_below)
                        continue;
                scene_open(&s);
                put_sample(&s, sample, "0", 0, "1", NULL);
                put_sample(&s, sample, "1", 0, NULL, NULL);
                {
                        _cleanup_node_ Node *n = NULL;
                        assert_int_equal(scene_chain(&s, &n, &err), -EOPNOTSUPP);
                }
                /* Nothing was opened for it. */
                assert_int_equal(s.shelf.opened, 1);
                scene_close(&s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_the_deepest_layer_shines_through),
                cmocka_unit_test(test_loops_end),
                cmocka_unit_test(test_the_same_file_under_another_name),
                cmocka_unit_test(test_shorter_and_longer_bases),
                cmocka_unit_test(test_no_layer_below_is_probed),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
