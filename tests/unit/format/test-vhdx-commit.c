/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is written when, and what a power failure leaves of it. */
#include "vhdx-image.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/node.h"
#include "store/mem.h"
#include "store/recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vhdx;

enum {
        MIB = VHDX_IMAGE_MIB,
        HEADER_1 = 64 << 10,
        HEADER_2 = 128 << 10,
        GUIDS_AT = 16,
        LOG_GUID_AT = 48,
        K = 1024,
};

typedef struct Opened {
        Cache *cache;
        Recording *recording;
        Node *node;
} Opened;

static void opened_done(Opened *o)
{
        node_close(o->node);
        cache_free(o->cache);
        recording_free(o->recording);
}
#define _cleanup_opened_ _cleanup_(opened_done)

static Node *open_node(Cache *cache, Store *s, bool writable)
{
        NodeOptions options = { .writable = writable, .cache = cache };
        Node *n = NULL;
        Err err = { "" };

        if (node_open(&format_vhdx, s, &options, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

/* A disk of `blocks` blocks, none of which is there. */
static void open_empty(Opened *o, uint64_t blocks)
{
        VhdxImage image = { .size = blocks * MIB, .file_len = VHDX_IMAGE_BLOCKS };
        _cleanup_free_ uint8_t *bytes = vhdx_image_new(&image);
        Store *inner = NULL, *s = NULL;

        *o = (Opened){ 0 };
        assert_non_null(bytes);
        assert_int_equal(mem_store_new(bytes, image.file_len, &inner), 0);
        assert_int_equal(recorder_store_new(inner, &o->recording, &s), 0);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &o->cache), 0);
        o->node = open_node(o->cache, s, true);
}

static void write_byte(Node *n, uint64_t off, uint8_t byte)
{
        assert_int_equal(node_write(n, &byte, 1, off), 0);
}

static uint8_t read_byte(Node *n, uint64_t off)
{
        uint8_t byte = 0;

        assert_int_equal(node_read(n, &byte, 1, off), 0);
        return byte;
}

static uint64_t stored_entry(Node *n, uint64_t index)
{
        le64 raw;

        assert_int_equal(store_read(n->store, &raw, sizeof(raw), VHDX_IMAGE_BAT + 8 * index), 0);
        return from_le64(raw);
}

/* Does the header with the higher number say that the log is in use? */
static bool log_is_used(Store *s)
{
        static const uint8_t zero[16];
        uint8_t header[2][80];
        le64 number[2];

        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(
                        store_read(s, header[i], sizeof(header[i]), i == 0 ? HEADER_1 : HEADER_2),
                        0);
                memcpy(&number[i], header[i] + 8, sizeof(number[i]));
        }
        size_t current = from_le64(number[1]) > from_le64(number[0]);
        return memcmp(header[current] + LOG_GUID_AT, zero, sizeof(zero)) != 0;
}

static void test_what_a_flush_costs(void **state)
{
        _cleanup_opened_ Opened o;
        open_empty(&o, 8);

        assert_int_equal(recording_get_count(o.recording), 0);
        write_byte(o.node, 0, 'a');
        assert_int_equal(node_flush(o.node), 0);

        size_t from = recording_get_count(o.recording);
        write_byte(o.node, 10, 'b');
        assert_int_equal(node_flush(o.node), 0);
        size_t to = recording_get_count(o.recording);
        assert_int_equal(recording_count_syncs(o.recording, from, to), 1);

        for (uint64_t block = 1; block < 5; block++)
                write_byte(o.node, block * MIB, 'c');
        assert_int_equal(node_flush(o.node), 0);
        from = to;
        to = recording_get_count(o.recording);
        assert_int_equal(recording_count_syncs(o.recording, from, to), 2);

        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(recording_get_count(o.recording), to);
}

static void test_new_guids_come_first(void **state)
{
        _cleanup_opened_ Opened o;
        uint8_t before[32], after[32];

        open_empty(&o, 2);
        assert_int_equal(store_read(o.node->store, before, sizeof(before), HEADER_2 + GUIDS_AT), 0);
        assert_int_equal(read_byte(o.node, 0), 0);
        assert_int_equal(node_finish(o.node), 0);
        /* Nobody has written: there was nothing but syncs. */
        size_t count = recording_get_count(o.recording);
        assert_int_equal(recording_count_syncs(o.recording, 0, count), count);

        write_byte(o.node, 0, 'a');
        assert_int_equal(store_read(o.node->store, after, sizeof(after), HEADER_1 + GUIDS_AT), 0);
        assert_memory_not_equal(before, after, 16);
        assert_memory_not_equal(before + 16, after + 16, 16);
        /* The first operation is the header, the second makes it safe. */
        assert_int_equal(recording_count_syncs(o.recording, count, count + 1), 0);
        assert_int_equal(recording_count_syncs(o.recording, count, count + 2), 1);
}

static void test_the_bat_goes_through_the_log(void **state)
{
        _cleanup_opened_ Opened o;
        open_empty(&o, 4);

        write_byte(o.node, MIB, 'a');
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(stored_entry(o.node, 1), 0);
        assert_true(log_is_used(o.node->store));
        assert_int_equal(read_byte(o.node, MIB), 'a');

        write_byte(o.node, 2 * MIB, 'b');
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(stored_entry(o.node, 1), VHDX_IMAGE_BLOCKS | 6);
        assert_int_equal(stored_entry(o.node, 2), 0);

        assert_int_equal(node_finish(o.node), 0);
        assert_int_equal(stored_entry(o.node, 2), (VHDX_IMAGE_BLOCKS + MIB) | 6);
        assert_false(log_is_used(o.node->store));

        /* And a write after that is as good as the first. */
        write_byte(o.node, 3 * MIB, 'c');
        assert_int_equal(node_flush(o.node), 0);
        assert_true(log_is_used(o.node->store));
        assert_int_equal(node_finish(o.node), 0);
        assert_int_equal(stored_entry(o.node, 3), (VHDX_IMAGE_BLOCKS + 2 * MIB) | 6);
}

/* Each byte is what was flushed last, or what was written after that. */
static void assert_history(Store *s, uint8_t flushed, uint8_t written)
{
        Cache *cache = NULL;

        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &cache), 0);
        Node *n = open_node(cache, s, false);
        for (uint64_t block = 0; block < 4; block++) {
                uint8_t byte = read_byte(n, block * MIB);
                assert_true(byte == flushed || byte == written);
        }
        node_close(n);
        cache_free(cache);
}

/* Four blocks are written, flushed, discarded, written, three times; the power fails everywhere. */
static void test_power_failures(void **state)
{
        _cleanup_opened_ Opened o;
        size_t ends[16], count = 0;
        uint8_t flushed[16] = { 0 };

        open_empty(&o, 4);
        for (uint8_t round = 1; round <= 5; round++) {
                if (round % 2 == 0)
                        assert_int_equal(node_discard(o.node, 0, 4 * MIB), 0);
                else
                        for (uint64_t block = 0; block < 4; block++)
                                write_byte(o.node, block * MIB, round);
                assert_int_equal(node_flush(o.node), 0);
                ends[count] = recording_get_count(o.recording);
                flushed[count++] = round % 2 == 0 ? 0 : round;
        }
        for (size_t at = 0; at <= ends[count - 1]; at++) {
                for (uint64_t choice = REPLAY_ALL; choice < 8; choice++) {
                        Store *s = NULL;
                        size_t i = 0;
                        while (i < count && ends[i] <= at)
                                i++;
                        assert_int_equal(recording_replay(o.recording, at, choice, &s), 0);
                        assert_history(s, i == 0 ? 0 : flushed[i - 1],
                                       i < count ? flushed[i] : flushed[count - 1]);
                }
        }
}

/* More pages of the BAT than an entry of the log has room for. */
static void test_many_pages(void **state)
{
        enum { BLOCKS = 130 * 512 };
        _cleanup_opened_ Opened o;
        open_empty(&o, BLOCKS);

        /* Discarding changes pages without taking space: all blocks lie in the same place, which nobody reads. */
        for (uint64_t block = 0; block < BLOCKS; block += 512) {
                le64 raw = to_le64(VHDX_IMAGE_BLOCKS | 2);
                assert_int_equal(store_write(o.node->store, &raw, sizeof(raw),
                                             VHDX_IMAGE_BAT + 8 * (block + block / 4096)),
                                 0);
        }
        assert_int_equal(node_resize(o.node, 512), 0);
        assert_int_equal(node_finish(o.node), 0);
        for (uint64_t block = 512; block < BLOCKS; block += 512)
                assert_int_equal(stored_entry(o.node, block + block / 4096), 0);
        assert_false(log_is_used(o.node->store));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_a_flush_costs),
                cmocka_unit_test(test_new_guids_come_first),
                cmocka_unit_test(test_the_bat_goes_through_the_log),
                cmocka_unit_test(test_power_failures),
                cmocka_unit_test(test_many_pages),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
