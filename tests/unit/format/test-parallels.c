/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is Parallels' own when an image is written and checked; the rest is block/flat's and the recipes'. */
#include "tests/unit/fd-count.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/info.h"
#include "block/node.h"
#include "codec/md5.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_parallels;

enum {
        C = 4096, /* a cluster */
        CLUSTERS = 8,
        ENTRIES = 32,
        SIZE = 36,
        IN_USE = 44,
        DATA_OFF = 48,
        FLAGS = 52,
        EXT_OFF = 56,
        BAT = 64,
        USED = 0x746f6e59,
        CLOSED = 0x312e3276,
        TRANSIT = 2,
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

static uint64_t size_of(Store *s)
{
        uint64_t size = 0;
        assert_int_equal(store_get_size(s, &size), 0);
        return size;
}

/* Eight clusters, of which none has a place, in a file with `places` of them behind the first, which has the header. Place
 * i is full of 'a' + i. */
static Store *make(uint32_t places)
{
        Store *s = NULL;
        char bytes[C];

        assert_int_equal(mem_store_new(NULL, C + places * C, &s), 0);
        assert_int_equal(store_write(s, "WithouFreSpacExt", 16, 0), 0);
        put(s, 16, 2);
        put(s, 28, C / 512);
        put(s, ENTRIES, CLUSTERS);
        put(s, SIZE, CLUSTERS * C / 512);
        put(s, DATA_OFF, C / 512);
        put(s, FLAGS, 1);
        for (uint32_t i = 0; i < places; i++) {
                memset(bytes, 'a' + (int)i, C);
                assert_int_equal(store_write(s, bytes, C, C + i * C), 0);
        }
        return s;
}

/* A format extension in the last cluster of the file, with one feature. */
static void extend(Store *s, uint64_t magic, uint32_t flags)
{
        uint8_t bytes[C] = { 0x87, 0xea, 0xdc, 0x23, 0xef, 0x4c, 0x23, 0xab };
        uint64_t pos = size_of(s);
        le64 raw = to_le64(magic);
        Md5 m;

        memcpy(bytes + 24, &raw, sizeof(raw));
        bytes[32] = (uint8_t)flags;
        md5_begin(&m);
        md5_add(&m, bytes + 24, C - 24);
        md5_end(&m, bytes + 8);
        assert_int_equal(store_write(s, bytes, C, pos), 0);
        put(s, EXT_OFF, (uint32_t)(pos / 512));
}

static int try_open(Store *s, NodeOptions options, Cache *c, Node **ret, Err *err)
{
        options.cache = c;
        return node_open(&format_parallels, s, &options, NULL, ret, err);
}

/* Takes `s`. */
static Node *open_node(Store *s, NodeOptions options, Cache *c)
{
        Node *n = NULL;
        Err err = { "" };

        if (try_open(s, options, c, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

static Cache *new_cache(void)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(0, &c), 0);
        return c;
}

static void test_the_mark(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_node(make(0), (NodeOptions){ .writable = true }, c);

        /* Nobody writes: not even what old software left there changes. */
        assert_int_equal(node_finish(n), 0);
        assert_int_equal(get(n->store, IN_USE), 0);
        assert_int_equal(get(n->store, FLAGS), 1);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(node_write(n, "x", 1, 5 * C), 0);
                assert_int_equal(get(n->store, IN_USE), USED);
                assert_int_equal(get(n->store, FLAGS), 0);
                assert_int_equal(node_flush(n), 0);
                assert_int_equal(get(n->store, IN_USE), USED);
                assert_int_equal(node_finish(n), 0);
                assert_int_equal(get(n->store, IN_USE), CLOSED);
        }
        assert_int_equal(get(n->store, BAT + 4 * 5), 1);
}

/* As a crash leaves it: an entry past the end, two with one cluster, and more file than is in use. */
static Store *make_unclean(void)
{
        Store *s = make(4);

        put(s, IN_USE, USED);
        put(s, BAT, 2);
        put(s, BAT + 4, 9);
        put(s, BAT + 8, 2);
        return s;
}

static void test_unclean_read_only(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *before = NULL;
        uint8_t one[5 * C], other[5 * C];

        Store *s = make_unclean();
        assert_int_equal(mem_store_copy(s, &before), 0);
        _cleanup_node_ Node *n = open_node(s, (NodeOptions){ 0 }, c);
        Info info = { 0 };
        assert_false(n->repaired);
        assert_int_equal(n->format->describe(n, &info), 0);
        assert_true(info.dirty);
        info_done(&info);
        assert_int_equal(node_read(n, one, C, 2 * C), 0);
        assert_int_equal(one[0], 'b');
        assert_int_equal(node_read(n, one, 1, C), -EIO);
        assert_int_equal(size_of(s), sizeof(one));
        assert_int_equal(store_read(s, one, sizeof(one), 0), 0);
        assert_int_equal(store_read(before, other, sizeof(other), 0), 0);
        assert_memory_equal(one, other, sizeof(one));
}

static void test_unclean_writable(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_node(make_unclean(), (NodeOptions){ .writable = true }, c);
        char byte = 0;

        assert_true(n->repaired);
        assert_int_equal(get(n->store, IN_USE), CLOSED);
        assert_int_equal(get(n->store, BAT), 2);
        assert_int_equal(get(n->store, BAT + 4), 0);
        assert_int_equal(get(n->store, BAT + 8), 1);
        assert_int_equal(size_of(n->store), 3 * C);
        for (uint64_t i = 0; i < 3; i++) {
                assert_int_equal(node_read(n, &byte, 1, i * C), 0);
                assert_int_equal(byte, i == 1 ? 0 : 'b');
        }
        assert_int_equal(node_write(n, "x", 1, C), 0);
        assert_int_equal(get(n->store, IN_USE), USED);
}

/* What an extension allows is done without touching a byte of it, or of what it may refer to. */
static void test_extension_is_preserved(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        uint8_t before[3 * C], after[3 * C];
        Store *s = make(2);

        put(s, BAT, 2);
        extend(s, 0x1234, TRANSIT);
        assert_int_equal(store_read(s, before, sizeof(before), C), 0);
        _cleanup_node_ Node *n = open_node(s, (NodeOptions){ .writable = true }, c);
        for (uint64_t i = 1; i < CLUSTERS; i++)
                assert_int_equal(node_write(n, "x", 1, i * C), 0);
        assert_int_equal(node_discard(n, C, C), 0);
        assert_int_equal(node_finish(n), 0);
        assert_int_equal(store_read(s, after, sizeof(after), C), 0);
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(get(s, EXT_OFF), 3 * C / 512);
        assert_int_equal(get(s, BAT + 4), 4);
        assert_int_equal(node_resize(n, C), -EOPNOTSUPP);
}

static void test_extension_forbids_writing(void **state)
{
        static const struct {
                uint64_t magic;
                uint32_t flags;
                const char *text;
        } cases[] = {
                { 0x1234, 0, "unknown feature 0x1234 (flags 0x0)" },
                { 0x1234, 1, "unknown feature 0x1234 (flags 0x1)" },
                { 0x1234, 3, "unknown feature 0x1234 (flags 0x3)" },
                { 0x1234, 4, "unknown feature 0x1234 (flags 0x4)" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                _cleanup_store_ Store *s = make(1);
                Err err = { "" };
                Node *n = NULL;

                extend(s, cases[i].magic, cases[i].flags);
                assert_int_equal(try_open(s, (NodeOptions){ .writable = true }, c, &n, &err),
                                 -EOPNOTSUPP);
                assert_non_null(strstr(err.text, cases[i].text));
                /* Not even when it was not closed. */
                put(s, IN_USE, USED);
                assert_int_equal(try_open(s, (NodeOptions){ .writable = true }, c, &n, &err),
                                 -EOPNOTSUPP);
                assert_int_equal(get(s, IN_USE), USED);
                assert_int_equal(try_open(s, (NodeOptions){ 0 }, c, &n, &err), 0);
                TAKE(s);
                node_close(n);
        }
}

/* A guest must not write into the extension. */
static void test_a_cluster_in_the_extension(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = make(1);
        Err err = { "" };
        Node *n = NULL;

        extend(s, 0x1234, TRANSIT);
        put(s, BAT + 4, 2);
        assert_int_equal(try_open(s, (NodeOptions){ .writable = true }, c, &n, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, "leads to the format extension"));
}

static void test_a_wrong_data_offset(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = make(1);
        Err err = { "" };
        Node *n = NULL;

        put(s, DATA_OFF, 1);
        assert_int_equal(try_open(s, (NodeOptions){ .writable = true }, c, &n, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, "data_off 1"));
}

static void test_size(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_node(make(0), (NodeOptions){ .writable = true }, c);
        const uint64_t room = (C - BAT) / 4;

        assert_int_equal(node_resize(n, room * C), 0);
        assert_int_equal(node_finish(n), 0);
        assert_int_equal(get(n->store, ENTRIES), room);
        assert_int_equal(get(n->store, SIZE), room * C / 512);
        assert_int_equal(node_resize(n, room * C + 1), -EFBIG);
        assert_int_equal(node_resize(n, 700), 0);
        assert_int_equal(node_finish(n), 0);
        assert_int_equal(get(n->store, ENTRIES), room);
        assert_int_equal(get(n->store, SIZE), 2);
}

static void test_snapshot(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = make(0);
        Node *n = NULL;

        assert_int_equal(try_open(s, (NodeOptions){ .snapshot = "s" }, c, &n, NULL), -ENOENT);
}

typedef struct Case {
        const char *name;
        uint32_t places, in_use, data_off;
        uint32_t entries[3], mended[3];
        uint32_t end; /* clusters of the file after a repair of all */
        uint64_t corruptions, leaks;
} Case;

static const Case cases[] = {
        { "sound", 2, CLOSED, 8, { 2, 0, 1 }, { 2, 0, 1 }, 3, 0, 0 },
        { "a hole is no leak", 2, CLOSED, 8, { 2 }, { 2 }, 3, 0, 0 },
        { "longer than it has to be", 4, CLOSED, 8, { 2 }, { 2 }, 3, 0, 2 },
        { "empty and too long", 4, CLOSED, 8, { 0 }, { 0 }, 1, 0, 4 },
        { "in use", 1, USED, 8, { 1 }, { 1 }, 2, 0, 0 },
        { "past the end", 1, USED, 8, { 1, 7, 1000000 }, { 1 }, 2, 2, 0 },
        { "by old software", 1, 0, 8, { 1, 1 }, { 1, 2 }, 3, 1, 0 },
        { "shared", 1, CLOSED, 8, { 1, 1, 1 }, { 1, 2, 3 }, 4, 2, 0 },
        { "data offset", 1, CLOSED, 99, { 1 }, { 1 }, 2, 1, 0 },
};

static void test_check(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *t = &cases[i];
                _cleanup_cache_ Cache *c = new_cache();
                Store *s = make(t->places);

                print_message("case: %s\n", t->name);
                put(s, IN_USE, t->in_use);
                put(s, DATA_OFF, t->data_off);
                for (uint32_t k = 0; k < 3; k++)
                        put(s, BAT + 4 * k, t->entries[k]);
                _cleanup_node_ Node *n =
                        open_node(s, (NodeOptions){ .writable = true, .for_check = true }, c);
                CheckReport report = { .repair = CHECK_LOOK };
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.corruptions, t->corruptions);
                assert_int_equal(report.leaks, t->leaks);
                assert_int_equal(get(s, IN_USE), t->in_use);
                assert_int_equal(get(s, DATA_OFF), t->data_off);

                report.repair = CHECK_REPAIR_ALL;
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.corruptions + report.leaks, 0);
                assert_int_equal(report.corruptions_fixed, t->corruptions);
                assert_int_equal(report.leaks_fixed, t->leaks);
                for (uint32_t k = 0; k < 3; k++)
                        assert_int_equal(get(s, BAT + 4 * k), t->mended[k]);
                assert_int_equal(get(s, IN_USE), t->in_use == USED ? CLOSED : t->in_use);
                assert_int_equal(get(s, DATA_OFF), 8);
                assert_int_equal(size_of(s), t->end * C);
                assert_int_equal(report.image_end, t->end * C);
        }
}

/* A file that ends before the data begins: the header is right then, and the file is not. */
static void test_a_file_without_data(void **state)
{
        static const struct {
                uint64_t size;
                uint64_t left; /* where entries of the BAT are lost, nothing is made up */
        } sizes[] = { { 3 * 512, 0 }, { BAT + 4, 2 } };

        for (size_t i = 0; i < 2; i++) {
                _cleanup_cache_ Cache *c = new_cache();
                CheckReport report = { .repair = CHECK_REPAIR_ALL };
                Store *s = make(0);

                assert_int_equal(store_set_size(s, sizes[i].size), 0);
                Node *n = open_node(s, (NodeOptions){ .writable = true, .for_check = true }, c);
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.corruptions, sizes[i].left);
                assert_int_equal(size_of(s), sizes[i].left ? sizes[i].size : C);
                TAKE(n->store);
                node_close(n);
                _cleanup_node_ Node *again = open_node(s, (NodeOptions){ .for_check = true }, c);
                report.repair = CHECK_LOOK;
                assert_int_equal(node_check(again, &report), 0);
                assert_int_equal(report.corruptions, sizes[i].left);
        }
}

/* A repair of leaks alone cuts the file, and nothing that is damaged. */
static void test_leaks_alone(void **state)
{
        for (int damaged = 0; damaged < 2; damaged++) {
                _cleanup_cache_ Cache *c = new_cache();
                CheckReport report = { .repair = CHECK_REPAIR_LEAKS };
                Store *s = make(3);

                put(s, BAT, 1);
                put(s, BAT + 4, damaged ? 1 : 0);
                _cleanup_node_ Node *n =
                        open_node(s, (NodeOptions){ .writable = true, .for_check = true }, c);
                assert_int_equal(node_check(n, &report), 0);
                assert_int_equal(report.leaks, damaged ? 2 : 0);
                assert_int_equal(size_of(s), damaged ? 4 * C : 2 * C);
                assert_int_equal(get(s, BAT + 4), damaged ? 1 : 0);
        }
}

/* With an extension nobody knows what the rest of the file is for: no leaks, no place is taken that is there. */
static void test_check_with_an_extension(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        CheckReport report = { .repair = CHECK_REPAIR_ALL };
        Store *s = make(2);

        put(s, BAT, 1);
        put(s, BAT + 4, 1);
        extend(s, 0x1234, TRANSIT);
        _cleanup_node_ Node *n =
                open_node(s, (NodeOptions){ .writable = true, .for_check = true }, c);
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions_fixed, 1);
        assert_int_equal(report.leaks + report.leaks_fixed, 0);
        assert_int_equal(get(s, BAT + 4), 4);
}

static void test_check_with_a_broken_extension(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        CheckReport report = { .repair = CHECK_LOOK };
        Store *s = make(2);

        extend(s, 0x1234, TRANSIT);
        put(s, 3 * C + 100, 1);
        _cleanup_node_ Node *n = open_node(s, (NodeOptions){ .for_check = true }, c);
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_mark),
                cmocka_unit_test(test_unclean_read_only),
                cmocka_unit_test(test_unclean_writable),
                cmocka_unit_test(test_extension_is_preserved),
                cmocka_unit_test(test_extension_forbids_writing),
                cmocka_unit_test(test_a_cluster_in_the_extension),
                cmocka_unit_test(test_a_wrong_data_offset),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_snapshot),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_a_file_without_data),
                cmocka_unit_test(test_leaks_alone),
                cmocka_unit_test(test_check_with_an_extension),
                cmocka_unit_test(test_check_with_a_broken_extension),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
