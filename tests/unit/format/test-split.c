/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "block/node.h"
#include "block/opener.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../fd-count.h"

enum {
        PART = 8192,
        COUNT = 4,
};

/* Opens x.002 to the last, each full of its number, and keeps an eye on what was written. */
typedef struct Parts {
        Opener opener;
        uint32_t last;
        uint32_t refuses; /* this one, with EACCES; 0: none */
        StoreMode mode;   /* of the last question that was answered */
        Store *given[COUNT + 1];
} Parts;

static Store *make_part(uint32_t number)
{
        uint8_t bytes[PART];
        Store *s = NULL;

        memset(bytes, (int)number, PART);
        assert_int_equal(mem_store_new(bytes, PART, &s), 0);
        mem_store_set_inode(s, number + 1);
        return s;
}

static int parts_open(
        Opener *opener, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        Parts *p = (Parts *)opener;
        uint32_t number = (uint32_t)strtoul(strrchr(name, '.') + 1, NULL, 10);

        assert_int_equal(strncmp(name, "x.", 2), 0);
        assert_int_equal(strlen(name), 5);
        if (p->refuses && number == p->refuses)
                return err_set(err, EACCES, "refused");
        if (number == 0 || number > p->last)
                return err_set(err, ENOENT, "%m");
        p->mode = mode;
        *ret = make_part(number);
        if (number <= COUNT)
                p->given[number] = *ret;
        return 0;
}

typedef struct Opened {
        Parts parts;
        Cache *cache;
        Store *top;
        Node *node;
        Err err;
        int r;
} Opened;

static void open_parts(Opened *o, uint32_t last, bool writable, const char *format)
{
        o->parts.opener.open = parts_open;
        o->parts.last = last;
        o->top = make_part(1);
        assert_int_equal(cache_new(0, &o->cache), 0);
        ChainRequest request = {
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = format,
                .writable = writable,
                .file_name = "x.001",
                .opener = &o->parts.opener,
                .cache = o->cache,
        };
        o->r = chain_open(&request, o->top, &o->node, &o->err);
        if (o->r < 0)
                store_free(o->top);
}

static void opened_done(Opened *o)
{
        node_close(o->node);
        cache_free(o->cache);
}

static uint8_t byte_of(Store *s, uint64_t pos)
{
        uint8_t byte = 0;

        assert_int_equal(store_read(s, &byte, 1, pos), 0);
        return byte;
}

static void test_writing_over_a_border(void **state)
{
        Opened o = { 0 };
        uint8_t bytes[2 * PART];

        open_parts(&o, COUNT, true, "split");
        assert_int_equal(o.r, 0);
        assert_int_equal(o.parts.mode, STORE_WRITABLE);
        assert_int_equal(node_get_size(o.node), COUNT * PART);
        memset(bytes, 0xaa, sizeof(bytes));
        assert_int_equal(node_write(o.node, bytes, PART + 20, PART - 10), 0);
        assert_int_equal(byte_of(o.top, PART - 11), 1);
        assert_int_equal(byte_of(o.top, PART - 10), 0xaa);
        assert_int_equal(byte_of(o.parts.given[2], 0), 0xaa);
        assert_int_equal(byte_of(o.parts.given[2], PART - 1), 0xaa);
        assert_int_equal(byte_of(o.parts.given[3], 9), 0xaa);
        assert_int_equal(byte_of(o.parts.given[3], 10), 3);
        assert_int_equal(node_read(o.node, bytes, 2, 3 * PART - 1), 0);
        assert_int_equal(bytes[0], 3);
        assert_int_equal(bytes[1], 4);
        assert_int_equal(node_write(o.node, bytes, 1, COUNT * PART), -ENOSPC);
        assert_int_equal(node_flush(o.node), 0);
        opened_done(&o);
}

static void test_discard_over_a_border(void **state)
{
        for (int poor = 0; poor < 2; poor++) {
                Opened o = { 0 };
                uint8_t bytes[COUNT * PART];
                open_parts(&o, COUNT, true, "split");
                assert_int_equal(o.r, 0);
                /* A host that cannot punch gets zeroes written. */
                for (uint32_t i = 2; poor && i <= COUNT; i++)
                        mem_store_make_poor(o.parts.given[i]);
                assert_int_equal(node_discard(o.node, PART / 2, 3 * PART), 0);
                assert_int_equal(node_read(o.node, bytes, sizeof(bytes), 0), 0);
                for (size_t i = 0; i < sizeof(bytes); i++) {
                        bool discarded = i >= PART / 2 && i < PART / 2 + 3 * PART;
                        assert_int_equal(bytes[i], discarded ? 0 : i / PART + 1);
                }
                opened_done(&o);
        }
}

static void test_resize(void **state)
{
        Opened o = { 0 };
        uint64_t size = 0;
        uint8_t byte = 0;

        open_parts(&o, COUNT, true, "split");
        assert_int_equal(o.r, 0);
        assert_int_equal(node_resize(o.node, COUNT * PART + 100), 0);
        assert_int_equal(store_get_size(o.parts.given[COUNT], &size), 0);
        assert_int_equal(size, PART + 100);
        assert_int_equal(node_read(o.node, &byte, 1, COUNT * PART + 99), 0);
        assert_int_equal(byte, 0);
        assert_int_equal(node_resize(o.node, (COUNT - 1) * PART + 1), 0);
        assert_int_equal(node_read(o.node, &byte, 1, (COUNT - 1) * PART), 0);
        assert_int_equal(byte, COUNT);
        assert_int_equal(node_resize(o.node, (COUNT - 1) * PART), -EOPNOTSUPP);
        assert_int_equal(node_get_size(o.node), (COUNT - 1) * PART + 1);
        opened_done(&o);
}

/* Only for reading, only by a name, and only when it is known what lies beside it. */
static void test_what_is_guessed(void **state)
{
        static const struct {
                uint32_t last, refuses;
                bool writable;
                int code;
                const char *text; /* or the format that it is */
        } cases[] = {
                { COUNT, 0, false, 0, "split" },
                { 1, 0, false, 0, "raw" },
                { COUNT, 2, false, EACCES,
                  "split: looks like the first part of a disk (--format=split), and --format=raw "
                  "shows it alone: part 'x.002': refused" },
                { COUNT, 3, false, EACCES, "split: part 'x.003': refused" },
                { COUNT, COUNT + 1, false, EACCES, "split: part 'x.005': refused" },
                { COUNT, 0, true, EOPNOTSUPP,
                  "no format is recognised, and a raw disk is opened for writing only when it is "
                  "named: --format=split" },
                { 1, 0, true, EOPNOTSUPP,
                  "no format is recognised, and a raw disk is opened for writing only when it is "
                  "named: --format=raw" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Opened o = { .parts.refuses = cases[i].refuses };
                open_parts(&o, cases[i].last, cases[i].writable, NULL);
                assert_int_equal(o.r, -cases[i].code);
                assert_string_equal(o.r < 0 ? o.err.text : o.node->format->name, cases[i].text);
                opened_done(&o);
        }
}

static void test_there_is_an_end_to_parts(void **state)
{
        Opened o = { 0 };

        open_parts(&o, LIMIT_SPLIT_PARTS, false, "split");
        assert_int_equal(o.r, 0);
        assert_int_equal(node_get_size(o.node), (uint64_t)LIMIT_SPLIT_PARTS * PART);
        opened_done(&o);

        o = (Opened){ 0 };
        open_parts(&o, LIMIT_SPLIT_PARTS + 1, false, "split");
        assert_int_equal(o.r, -EFBIG);
        assert_string_equal(o.err.text, "split: there are more than 890 parts");
        opened_done(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_writing_over_a_border),
                cmocka_unit_test(test_discard_over_a_border),
                cmocka_unit_test(test_resize),
                cmocka_unit_test(test_what_is_guessed),
                cmocka_unit_test(test_there_is_an_end_to_parts),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
