/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is VDI's own when an image is written and checked; the rest is block/flat's and the recipes'. */
#include "tests/unit/fd-count.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/info.h"
#include "block/node.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vdi;

enum {
        B = 4096,
        BLOCKS = 8,
        MAP = 512,
        DATA = 1024,
        ALLOCATED = 0x184,
        MODIFICATION = 0x198,
};

static void put(Store *s, uint64_t pos, uint32_t value)
{
        le32 raw = to_le32(value);
        assert_int_equal(store_write(s, &raw, sizeof(raw), pos), 0);
}

static uint32_t get(Store *s, uint64_t pos)
{
        le32 raw;
        assert_int_equal(store_read(s, &raw, sizeof(raw), pos), 0);
        return from_le32(raw);
}

/* Eight blocks, none of which has a place, in a file with room for `places`. */
static Store *make(uint32_t places)
{
        static const struct {
                uint32_t pos, value;
        } fields[] = {
                { 0x40, 0xbeda107f }, { 0x44, 0x10001 },     { 0x48, 0x180 },
                { 0x4c, 1 },          { 0x154, MAP },        { 0x158, DATA },
                { 0x168, 512 },       { 0x170, BLOCKS * B }, { 0x178, B },
                { 0x180, BLOCKS },    { MODIFICATION, 77 },
        };
        Store *s = NULL;

        assert_int_equal(mem_store_new(NULL, DATA + places * B, &s), 0);
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
                put(s, fields[i].pos, fields[i].value);
        for (uint32_t i = 0; i < BLOCKS; i++)
                put(s, MAP + 4 * i, UINT32_MAX);
        for (uint32_t i = 0; i < places; i++)
                assert_int_equal(store_write(s, &(char){ (char)('a' + i) }, 1, DATA + i * B), 0);
        return s;
}

/* Takes `s`. */
static Node *open_node(Store *s, NodeOptions options, Cache *c)
{
        Node *n = NULL;
        Err err = { "" };

        options.cache = c;
        if (node_open(&format_vdi, s, &options, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

static Cache *new_cache(void)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(0, &c), 0);
        return c;
}

static void test_the_first_write_changes_the_uuid(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_node(make(0), (NodeOptions){ .writable = true }, c);
        uint8_t before[16], after[16], later[16];

        assert_int_equal(store_read(n->store, before, 16, MODIFICATION), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(store_read(n->store, after, 16, MODIFICATION), 0);
        assert_memory_equal(before, after, 16);
        assert_int_equal(node_write(n, "x", 1, 5 * B), 0);
        assert_int_equal(store_read(n->store, after, 16, MODIFICATION), 0);
        assert_memory_not_equal(before, after, 16);
        assert_int_equal(node_write(n, "x", 1, 0), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(store_read(n->store, later, 16, MODIFICATION), 0);
        assert_memory_equal(after, later, 16);
        assert_int_equal(get(n->store, ALLOCATED), 2);
        assert_int_equal(get(n->store, MAP + 4 * 5), 0);
        assert_int_equal(get(n->store, MAP), 1);
}

/* Also where nothing gets a new place. */
static void test_in_place_too(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = make(1);

        put(s, MAP, 0);
        put(s, ALLOCATED, 1);
        _cleanup_node_ Node *n = open_node(s, (NodeOptions){ .writable = true }, c);
        assert_int_equal(node_write(n, "x", 1, 0), 0);
        assert_int_not_equal(get(s, MODIFICATION), 77);
}

static void test_size(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_node(make(0), (NodeOptions){ .writable = true }, c);

        /* Room for a sector of entries. */
        assert_int_equal(node_resize(n, 128 * B), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(get(n->store, 0x170), 128 * B);
        assert_int_equal(get(n->store, 0x178), B);
        assert_int_equal(get(n->store, 0x17c), 0);
        assert_int_equal(get(n->store, 0x180), 128);
        assert_int_equal(get(n->store, MAP + 4 * 127), UINT32_MAX);
        assert_int_equal(node_resize(n, 128 * B + 1), -EFBIG);
}

static void test_snapshot(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = make(0);
        NodeOptions options = { .snapshot = "s", .cache = c };
        Node *n = NULL;

        assert_int_equal(node_open(&format_vdi, s, &options, NULL, &n, NULL), -ENOENT);
}

static void test_describe(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_node(make(0), (NodeOptions){ 0 }, c);
        Info info = { 0 };

        assert_int_equal(format_vdi.describe(n, &info), 0);
        assert_int_equal(info.cluster_size, B);
        info_done(&info);
}

typedef struct Case {
        const char *name;
        uint32_t places, allocated;
        uint32_t entries[3], mended[3]; /* 0: none, else the place and 1 */
        uint32_t count;                 /* after a repair of all */
        uint64_t corruptions, leaks;
} Case;

static const Case cases[] = {
        { "sound", 2, 2, { 2, 0, 1 }, { 2, 0, 1 }, 2, 0, 0 },
        { "the last place leaks", 3, 3, { 2, 0, 1 }, { 2, 0, 1 }, 2, 0, 1 },
        { "the first one leaks", 3, 3, { 3, 0, 2 }, { 1, 0, 2 }, 2, 0, 1 },
        { "all but one leak", 8, 8, { 8 }, { 1 }, 1, 0, 7 },
        { "more than there can be", 1, 4000000000, { 1 }, { 1 }, 1, 0, 3999999999 },
        { "counted too few", 3, 1, { 3, 2, 1 }, { 3, 2, 1 }, 3, 1, 0 },
        { "shared", 2, 2, { 2, 2, 1 }, { 2, 3, 1 }, 3, 1, 0 },
        { "nowhere, and leaks", 2, 2, { 2, 9, 0 }, { 1, 0, 0 }, 1, 1, 1 },
};

static void test_check(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *t = &cases[i];
                _cleanup_cache_ Cache *c = new_cache();
                Store *s = make(t->places);

                print_message("case: %s\n", t->name);
                put(s, ALLOCATED, t->allocated);
                for (uint32_t k = 0; k < 3; k++)
                        put(s, MAP + 4 * k, t->entries[k] - 1);
                _cleanup_node_ Node *n =
                        open_node(s, (NodeOptions){ .writable = true, .for_check = true }, c);
                CheckReport report = { .repair = CHECK_LOOK };
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.corruptions, t->corruptions);
                assert_int_equal(report.leaks, t->leaks);
                assert_int_equal(get(s, ALLOCATED), t->allocated);

                report.repair = CHECK_REPAIR_ALL;
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.corruptions + report.leaks, 0);
                assert_int_equal(report.corruptions_fixed, t->corruptions);
                assert_int_equal(report.leaks_fixed, t->leaks);
                assert_int_equal(get(s, ALLOCATED), t->count);
                for (uint32_t k = 0; k < 3; k++)
                        assert_int_equal(get(s, MAP + 4 * k), t->mended[k] - 1);
                assert_int_equal(report.allocated_clusters, t->count);
                assert_int_equal(report.image_end, DATA + t->count * B);
        }
}

/* A repair of leaks alone touches nothing that is damaged. */
static void test_leaks_alone(void **state)
{
        for (uint32_t allocated = 1; allocated <= 4; allocated += 3) {
                _cleanup_cache_ Cache *c = new_cache();
                CheckReport report = { .repair = CHECK_REPAIR_LEAKS };
                Store *s = make(4);

                put(s, ALLOCATED, allocated);
                put(s, MAP, 3);
                put(s, MAP + 4, 3);
                put(s, MAP + 8, 1);
                _cleanup_node_ Node *n =
                        open_node(s, (NodeOptions){ .writable = true, .for_check = true }, c);
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.corruptions, allocated == 1 ? 2 : 1);
                assert_int_equal(get(s, MAP + 4), 3);
                assert_int_equal(get(s, ALLOCATED), allocated);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_first_write_changes_the_uuid),
                cmocka_unit_test(test_in_place_too),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_snapshot),
                cmocka_unit_test(test_describe),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_leaks_alone),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
