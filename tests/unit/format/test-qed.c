/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opened.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/check.h"
#include "block/info.h"
#include "block/node.h"
#include "tests/unit/fd-count.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_qed;

/* Clusters of 4096 bytes and tables of one: header, L1 table, L2 table; data from DATA on. */
enum {
        CLUSTER = 4096,
        L1 = CLUSTER,
        L2 = 2 * CLUSTER,
        DATA = 3 * CLUSTER,
        LEN = 16 * CLUSTER,
        SIZE = 64 * CLUSTER,
        FEATURES = 16,
        AUTOCLEAR = 32,
        IMAGE_SIZE = 48,
        NEED_CHECK = 2,
};

typedef struct Image {
        uint8_t bytes[LEN];
        size_t len;
} Image;

static void put64(Image *i, size_t at, uint64_t value)
{
        le64 raw = to_le64(value);
        memcpy(i->bytes + at, &raw, sizeof(raw));
}

static void put32(Image *i, size_t at, uint32_t value)
{
        le32 raw = to_le32(value);
        memcpy(i->bytes + at, &raw, sizeof(raw));
}

static void entry(Image *i, size_t index, uint64_t value)
{
        put64(i, L2 + 8 * index, value);
}

/* `clusters` clusters of data, full of 'a', 'b' …, which are the first ones of the disk. */
static void begin(Image *i, size_t clusters)
{
        memset(i, 0, sizeof(*i));
        memcpy(i->bytes, "QED", 4);
        put32(i, 4, CLUSTER);
        put32(i, 8, 1);
        put32(i, 12, 1);
        put64(i, 40, L1);
        put64(i, IMAGE_SIZE, SIZE);
        put64(i, L1, L2);
        for (size_t k = 0; k < clusters; k++) {
                entry(i, k, DATA + k * CLUSTER);
                memset(i->bytes + DATA + k * CLUSTER, (int)('a' + k), CLUSTER);
        }
        i->len = DATA + clusters * CLUSTER;
}

static void open_options(const Image *i, bool writable, bool for_check, Opened *o)
{
        NodeOptions options = { .writable = writable, .for_check = for_check };
        opened_try(o, &format_qed, i->bytes, i->len, &options);
}

static void open_good(const Image *i, bool writable, Opened *o)
{
        opened_make(o, &format_qed, i->bytes, i->len, writable);
}

static uint64_t file64(Opened *o, uint64_t at)
{
        le64 raw;
        assert_int_equal(store_read(o->store, &raw, sizeof(raw), at), 0);
        return from_le64(raw);
}

static void assert_refused(const Image *i, int r, const char *words)
{
        Opened o;
        open_options(i, true, false, &o);
        opened_expect_refusal(&o, r, words);
        opened_done(&o);
}

static void test_map(void **state)
{
        static Image i;
        Extent e;
        Opened o;

        begin(&i, 3);
        entry(&i, 3, 1);
        entry(&i, 4, 1);
        entry(&i, 5, 99);
        open_good(&i, false, &o);
        assert_int_equal(format_qed.map(o.node, 10, SIZE - 10, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(e.off, 0);
        assert_int_equal(e.len, 3 * CLUSTER);
        assert_int_equal(e.pos, DATA);
        assert_false(e.in_place);
        assert_int_equal(format_qed.map(o.node, 3 * CLUSTER, CLUSTER, &e), 0);
        assert_int_equal(e.kind, EXTENT_HOLE);
        assert_int_equal(format_qed.map(o.node, 3 * CLUSTER, SIZE - 3 * CLUSTER, &e), 0);
        assert_int_equal(e.len, 2 * CLUSTER);
        /* Only who asks for the damaged one is told. */
        assert_int_equal(format_qed.map(o.node, 5 * CLUSTER, CLUSTER, &e), -EIO);
        assert_int_equal(format_qed.map(o.node, 6 * CLUSTER, SIZE - 6 * CLUSTER, &e), 0);
        assert_int_equal(e.kind, EXTENT_BELOW);
        assert_int_equal(e.len, SIZE - 6 * CLUSTER);
        opened_done(&o);
}

/* Opening, reading and flushing change nothing; the first write tells the image. */
static void test_first_write(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 2);
        put64(&i, AUTOCLEAR, 0xff);
        i.len -= 100;
        open_good(&i, true, &o);
        opened_expect_byte(&o, 0, 'a');
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(node_finish(o.node), 0);
        assert_int_equal(file64(&o, AUTOCLEAR), 0xff);
        assert_int_equal(opened_file_size(&o), i.len);
        /* In place: no table changes, so no check is ever needed. */
        assert_int_equal(node_write(o.node, "x", 1, 5), 0);
        assert_int_equal(file64(&o, AUTOCLEAR), 0);
        assert_int_equal(file64(&o, FEATURES), 0);
        assert_int_equal(opened_file_size(&o), DATA + 2 * CLUSTER);
        /* A new cluster. */
        assert_int_equal(node_write(o.node, "y", 1, 9 * CLUSTER), 0);
        assert_int_equal(file64(&o, FEATURES), NEED_CHECK);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, FEATURES), NEED_CHECK);
        assert_int_equal(file64(&o, L2 + 9 * 8), DATA + 2 * CLUSTER);
        assert_int_equal(node_finish(o.node), 0);
        assert_int_equal(file64(&o, FEATURES), 0);
        /* One that comes all the same. */
        assert_int_equal(node_write(o.node, "z", 1, 10 * CLUSTER), 0);
        assert_int_equal(file64(&o, FEATURES), NEED_CHECK);
        opened_expect_byte(&o, 5, 'x');
        opened_expect_byte(&o, 9 * CLUSTER, 'y');
        opened_expect_byte(&o, 10 * CLUSTER, 'z');
        opened_done(&o);
}

static void test_new_table(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 1);
        put64(&i, IMAGE_SIZE, 600 * CLUSTER);
        open_good(&i, true, &o);
        assert_int_equal(node_write(o.node, "new", 3, 520 * CLUSTER), 0);
        assert_int_equal(file64(&o, L1 + 8), 0);
        assert_int_equal(node_flush(o.node), 0);
        uint64_t table = file64(&o, L1 + 8);
        assert_int_equal(table, DATA + CLUSTER);
        assert_int_equal(file64(&o, table + 8 * 8), DATA + 2 * CLUSTER);
        opened_expect_byte(&o, 520 * CLUSTER + 2, 'w');
        opened_done(&o);
}

static void test_read_only_and_unclean(void **state)
{
        static Image i, before;
        Opened o;

        begin(&i, 2);
        put64(&i, FEATURES, NEED_CHECK);
        entry(&i, 1, DATA + 20 * CLUSTER);
        before = i;
        open_good(&i, false, &o);
        opened_expect_byte(&o, 0, 'a');
        opened_expect_byte(&o, CLUSTER, 0);
        assert_int_equal(store_read(o.store, i.bytes, i.len, 0), 0);
        assert_memory_equal(i.bytes, before.bytes, i.len);
        opened_done(&o);
}

static void test_repair_before_writing(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 2);
        put64(&i, FEATURES, NEED_CHECK);
        entry(&i, 1, DATA + 20 * CLUSTER);
        put64(&i, L1 + 8, DATA + 21 * CLUSTER);
        open_good(&i, true, &o);
        assert_true(o.node->repaired);
        assert_int_equal(file64(&o, FEATURES), 0);
        assert_int_equal(file64(&o, L2 + 8), 0);
        assert_int_equal(file64(&o, L1 + 8), 0);
        opened_expect_byte(&o, 0, 'a');
        opened_expect_byte(&o, CLUSTER, 0);
        opened_done(&o);

        /* What nobody can decide. */
        begin(&i, 2);
        put64(&i, FEATURES, NEED_CHECK);
        entry(&i, 1, DATA);
        assert_refused(&i, -EUCLEAN, "1 errors are left after its repair");
}

/* Nobody's data is written over tables, and no new cluster gets into two places. */
static void test_dangerous_entries(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 2);
        entry(&i, 1, L2);
        open_good(&i, true, &o);
        assert_int_equal(node_write(o.node, "x", 1, 2 * CLUSTER), 0);
        assert_int_equal(node_write(o.node, "x", 1, CLUSTER), -EIO);
        entry(&i, 1, L1);
        opened_done(&o);

        open_good(&i, true, &o);
        assert_int_equal(node_write(o.node, "x", 1, 0), 0);
        assert_int_equal(node_write(o.node, "x", 1, CLUSTER), -EIO);
        opened_done(&o);

        entry(&i, 1, DATA + 5 * CLUSTER);
        assert_refused(&i, -EUCLEAN, "leads to no cluster in the file");
        entry(&i, 1, 7);
        assert_refused(&i, -EUCLEAN, "leads to no cluster in the file");

        begin(&i, 2);
        put64(&i, IMAGE_SIZE, 600 * CLUSTER);
        put64(&i, L1 + 8, L2);
        assert_refused(&i, -EBADMSG, "lie over each other");
        put64(&i, L1 + 8, L1);
        assert_refused(&i, -EBADMSG, "no place for an L2 table");
        put64(&i, L1 + 8, DATA + 2 * CLUSTER);
        assert_refused(&i, -EBADMSG, "no place for an L2 table");
}

static void test_discard(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 3);
        open_good(&i, true, &o);
        assert_int_equal(node_discard(o.node, 100, 2 * CLUSTER), 0);
        assert_int_equal(node_flush(o.node), 0);
        /* Places are kept: there is no list of free ones. */
        assert_int_equal(file64(&o, L2 + 8), DATA + CLUSTER);
        opened_expect_byte(&o, 99, 'a');
        opened_expect_byte(&o, 100, 0);
        opened_expect_byte(&o, CLUSTER, 0);
        opened_expect_byte(&o, 2 * CLUSTER + 100, 'c');
        assert_int_equal(opened_file_size(&o), i.len);
        opened_done(&o);
}

/* Over a layer below there is a mark for zeroes. */
static void test_discard_over_a_layer(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 1);
        put64(&i, FEATURES, 5);
        put32(&i, 56, 64);
        put32(&i, 60, 1);
        i.bytes[64] = 'b';
        open_good(&i, true, &o);
        assert_string_equal(o.node->backing_name, "b");
        assert_string_equal(o.node->backing_format, "raw");
        assert_int_equal(node_discard(o.node, 0, 3 * CLUSTER), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, L2), DATA);
        assert_int_equal(file64(&o, L2 + 8), 1);
        assert_int_equal(file64(&o, L2 + 16), 1);
        assert_int_equal(file64(&o, L2 + 24), 0);
        assert_int_equal(opened_file_size(&o), i.len);
        assert_int_equal(node_finish(o.node), 0);
        assert_int_equal(file64(&o, FEATURES), 5);
        opened_done(&o);
}

static void test_resize(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 4);
        open_good(&i, true, &o);
        assert_int_equal(node_resize(o.node, 2 * CLUSTER + 512), 0);
        assert_int_equal(file64(&o, IMAGE_SIZE), 2 * CLUSTER + 512);
        /* What was cut off does not come back, not even by somebody else. */
        assert_int_equal(file64(&o, L2 + 24), DATA + 3 * CLUSTER);
        uint8_t byte = 1;
        assert_int_equal(store_read(o.store, &byte, 1, DATA + 3 * CLUSTER), 0);
        assert_int_equal(byte, 0);
        assert_int_equal(node_resize(o.node, 1000 * CLUSTER), 0);
        assert_int_equal(file64(&o, IMAGE_SIZE), 2 * CLUSTER + 512);
        assert_int_equal(node_write(o.node, "x", 1, 999 * CLUSTER), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, IMAGE_SIZE), 1000 * CLUSTER);
        opened_expect_byte(&o, 2 * CLUSTER, 'c');
        opened_expect_byte(&o, 2 * CLUSTER + 512, 0);
        opened_expect_byte(&o, 3 * CLUSTER, 0);
        assert_int_equal(node_resize(o.node, 512 * 512 * (uint64_t)CLUSTER + 512), -EFBIG);
        assert_int_equal(node_resize(o.node, 512 * 512 * (uint64_t)CLUSTER), 0);
        opened_done(&o);
}

static void check(const Image *i, CheckRepair repair, int r, CheckReport *report, Opened *o)
{
        open_options(i, repair != CHECK_LOOK, true, o);
        assert_int_equal(o->r, 0);
        *report = (CheckReport){ .repair = repair };
        assert_int_equal(node_check(o->node, report), r);
}

static void test_check(void **state)
{
        static Image i;
        CheckReport report;
        Opened o;

        begin(&i, 3);
        entry(&i, 7, 1);
        check(&i, CHECK_LOOK, 0, &report, &o);
        assert_int_equal(report.corruptions, 0);
        assert_int_equal(report.leaks, 0);
        assert_int_equal(report.allocated_clusters, 3);
        assert_int_equal(report.fragmented_clusters, 0);
        assert_int_equal(report.total_clusters, SIZE / CLUSTER);
        opened_done(&o);

        /* Two leaks; an entry within the header, one past the end, a table past the end. */
        i.len += 2 * CLUSTER;
        entry(&i, 3, 5);
        entry(&i, 4, i.len);
        put64(&i, L1 + 8 * 511, i.len);
        check(&i, CHECK_LOOK, 0, &report, &o);
        assert_int_equal(report.corruptions, 3);
        assert_int_equal(report.leaks, 2);
        opened_done(&o);

        check(&i, CHECK_REPAIR_LEAKS, 0, &report, &o);
        assert_int_equal(report.corruptions, 3);
        assert_int_equal(report.leaks, 2);
        assert_int_equal(file64(&o, L2 + 24), 5);
        opened_done(&o);

        put64(&i, FEATURES, NEED_CHECK);
        check(&i, CHECK_REPAIR_ALL, 0, &report, &o);
        assert_int_equal(report.corruptions, 0);
        assert_int_equal(report.corruptions_fixed, 3);
        assert_int_equal(report.leaks, 2);
        assert_int_equal(file64(&o, L2 + 24), 0);
        assert_int_equal(file64(&o, L2 + 32), 0);
        assert_int_equal(file64(&o, L1 + 8 * 511), 0);
        assert_int_equal(file64(&o, FEATURES), 0);
        opened_done(&o);
}

static void test_check_of_doubles(void **state)
{
        static Image i;
        CheckReport report;
        Opened o;

        begin(&i, 3);
        put64(&i, FEATURES, NEED_CHECK);
        entry(&i, 1, DATA);
        entry(&i, 5, 7);
        check(&i, CHECK_REPAIR_ALL, 0, &report, &o);
        assert_int_equal(report.corruptions, 2);
        assert_int_equal(report.corruptions_fixed, 0);
        assert_int_equal(report.leaks, 1);
        assert_int_equal(file64(&o, L2 + 40), 7);
        assert_int_equal(file64(&o, FEATURES), NEED_CHECK);
        opened_done(&o);
}

static void test_describe(void **state)
{
        static Image i;
        Info info = { 0 };
        Opened o;

        begin(&i, 1);
        put64(&i, FEATURES, NEED_CHECK);
        open_good(&i, false, &o);
        assert_int_equal(format_qed.describe(o.node, &info), 0);
        assert_int_equal(info.cluster_size, CLUSTER);
        assert_true(info.dirty);
        info_done(&info);
        opened_done(&o);
}

/* What others have left behind the end is not brought to light. */
static void test_growing_over_old_bytes(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 4);
        put64(&i, IMAGE_SIZE, 2 * CLUSTER);
        open_good(&i, true, &o);
        assert_int_equal(node_resize(o.node, 4 * CLUSTER), 0);
        opened_expect_byte(&o, CLUSTER, 'b');
        opened_expect_byte(&o, 2 * CLUSTER, 0);
        opened_expect_byte(&o, 4 * CLUSTER - 1, 0);
        opened_done(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_map),
                cmocka_unit_test(test_first_write),
                cmocka_unit_test(test_new_table),
                cmocka_unit_test(test_read_only_and_unclean),
                cmocka_unit_test(test_repair_before_writing),
                cmocka_unit_test(test_dangerous_entries),
                cmocka_unit_test(test_discard),
                cmocka_unit_test(test_discard_over_a_layer),
                cmocka_unit_test(test_resize),
                cmocka_unit_test(test_growing_over_old_bytes),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_check_of_doubles),
                cmocka_unit_test(test_describe),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
