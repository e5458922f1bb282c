/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/node.h"
#include "format/formats.h"
#include "store/faulty.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "../fd-count.h"

enum {
        BLOCK = 4096,
        BLOCKS = 6,
        TABLE = 136,
        FILE_MAX = 64 * 1024,
};

extern const Format format_cloop;

typedef struct File {
        uint8_t bytes[FILE_MAX];
        size_t len;
        uint64_t at[BLOCKS + 1];
} File;

static void put(File *f, size_t pos, unsigned width, uint64_t value)
{
        for (unsigned i = 0; i < width; i++)
                f->bytes[pos + i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

static void put_at(File *f, size_t index, uint64_t pos)
{
        f->at[index] = pos;
        put(f, TABLE + 8 * index, 8, pos);
}

/* Block `i` is full of the letter 'a' + i. */
static void make(File *f)
{
        uint8_t block[BLOCK];

        memset(f, 0, sizeof(*f));
        strcpy((char *)f->bytes, "#!/bin/sh\n#V2.0 Format\n");
        put(f, 128, 4, BLOCK);
        put(f, 132, 4, BLOCKS);
        f->len = TABLE + 8 * (BLOCKS + 1);
        for (size_t i = 0; i <= BLOCKS; i++) {
                put_at(f, i, f->len);
                if (i == BLOCKS)
                        break;
                uLongf len = FILE_MAX - f->len;
                memset(block, (int)('a' + i), BLOCK);
                assert_int_equal(compress2(f->bytes + f->len, &len, block, BLOCK, 9), Z_OK);
                f->len += len;
        }
}

typedef struct Opened {
        Cache *cache;
        Node *node;
        Err err;
        int r;
} Opened;

static Opened open_store(Store *s, const NodeOptions *wanted)
{
        Opened o = { 0 };
        NodeOptions options = *wanted;

        assert_int_equal(cache_new(0, &o.cache), 0);
        options.cache = o.cache;
        o.r = node_open(&format_cloop, s, &options, NULL, &o.node, &o.err);
        if (o.r < 0)
                store_free(s);
        return o;
}

static Opened open_file(const File *f, const NodeOptions *wanted)
{
        Store *s = NULL;

        assert_int_equal(mem_store_new(f->bytes, f->len, &s), 0);
        return open_store(s, wanted);
}

static void opened_done(Opened *o)
{
        node_close(o->node);
        cache_free(o->cache);
}

static void test_blocks(void **state)
{
        static File f;
        uint8_t two[2];

        make(&f);
        Opened o = open_file(&f, &(NodeOptions){ 0 });
        assert_int_equal(o.r, 0);
        assert_int_equal(node_get_size(o.node), BLOCK * BLOCKS);
        for (uint64_t i = 0; i + 1 < BLOCKS; i++) {
                assert_int_equal(node_read(o.node, two, 2, (i + 1) * BLOCK - 1), 0);
                assert_int_equal(two[0], 'a' + i);
                assert_int_equal(two[1], 'b' + i);
        }
        assert_int_equal(node_write(o.node, two, 2, 0), -EROFS);
        opened_done(&o);
}

static void test_what_it_is_not_opened_for(void **state)
{
        static const struct {
                NodeOptions options;
                int code;
                const char *text;
        } cases[] = {
                { { .writable = true }, EROFS, "cloop: a cloop can only be opened read-only" },
                { { .snapshot = "1" },
                  ENOENT,
                  "cloop: snapshot '1': a cloop image has no snapshots" },
        };
        static File f;

        make(&f);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Opened o = open_file(&f, &cases[i].options);
                assert_int_equal(o.r, -cases[i].code);
                assert_string_equal(o.err.text, cases[i].text);
                opened_done(&o);
        }
}

/* What cannot be read is no damage, and is read the next time. */
static void test_a_fault_of_the_host(void **state)
{
        static File f;

        make(&f);
        /* The table, then the block. */
        for (uint64_t fault = 1; fault <= 2; fault++) {
                FaultPlan plan = { .code = EIO };
                Store *s = NULL, *faulty = NULL;
                uint8_t byte = 0;
                assert_int_equal(mem_store_new(f.bytes, f.len, &s), 0);
                assert_int_equal(faulty_store_new(s, &plan, &faulty), 0);
                Opened o = open_store(faulty, &(NodeOptions){ 0 });
                assert_int_equal(o.r, 0);
                atomic_store(&plan.fail_at, atomic_load(&plan.count) + fault);
                assert_int_equal(node_read(o.node, &byte, 1, 0), -EIO);
                assert_int_equal(node_read(o.node, &byte, 1, 0), 0);
                assert_int_equal(byte, 'a');
                opened_done(&o);
        }
}

typedef struct Told {
        char text[1024];
} Told;

static void hear(void *arg, const char *text)
{
        Told *t = arg;

        strncat(t->text, text, sizeof(t->text) - strlen(t->text) - 2);
        strcat(t->text, "\n");
}

static void check(const File *f, CheckReport *report, Told *told)
{
        Opened o = open_file(f, &(NodeOptions){ .for_check = true });

        assert_int_equal(o.r, 0);
        *told = (Told){ "" };
        *report = (CheckReport){ .tell = hear, .arg = told };
        assert_int_equal(node_check(o.node, report), 0);
        opened_done(&o);
}

static void test_check(void **state)
{
        static File f;
        CheckReport report;
        Told told;

        make(&f);
        check(&f, &report, &told);
        assert_int_equal(report.corruptions, 0);
        assert_string_equal(told.text, "");
        assert_int_equal(report.total_clusters, BLOCKS);
        assert_int_equal(report.compressed_clusters, BLOCKS);
        assert_int_equal(report.image_end, f.len);

        f.bytes[f.at[1] + 5] ^= 0xff;
        f.bytes[f.at[3] + 5] ^= 0xff;
        f.bytes[f.at[4] + 5] ^= 0xff;
        check(&f, &report, &told);
        assert_int_equal(report.corruptions, 2);
        assert_string_equal(told.text, "block 1 cannot be unpacked\n"
                                       "blocks 3 to 4 cannot be unpacked\n");
}

/* Each block of this image is where the first one is: it would unpack, and so would a million of them. */
static void test_check_of_blocks_over_each_other(void **state)
{
        static File f;
        CheckReport report;
        Told told;
        uint64_t first, second;

        make(&f);
        first = f.at[0];
        second = f.at[1];
        for (size_t i = 0; i <= BLOCKS; i++)
                put_at(&f, i, i % 2 == 0 ? first : second);
        check(&f, &report, &told);
        assert_int_equal(report.corruptions, 1);
        assert_string_equal(told.text, "blocks 1 to 5 cannot be unpacked\n");
}

static void test_check_of_a_block_over_the_table(void **state)
{
        static File f;
        CheckReport report;
        Told told;

        make(&f);
        put_at(&f, 0, TABLE);
        check(&f, &report, &told);
        assert_string_equal(told.text, "block 0 cannot be unpacked\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blocks),
                cmocka_unit_test(test_what_it_is_not_opened_for),
                cmocka_unit_test(test_a_fault_of_the_host),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_check_of_blocks_over_each_other),
                cmocka_unit_test(test_check_of_a_block_over_the_table),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
