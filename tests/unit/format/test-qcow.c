/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opened.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/info.h"
#include "block/node.h"
#include "store/mem.h"
#include "tests/unit/fd-count.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

extern const Format format_qcow;

/* Clusters of 4096 bytes, L2 tables of 64 entries: header and L1 table, L2 table, data from DATA on. */
enum {
        CLUSTER = 4096,
        TABLE = 64,
        L1 = 0x200,
        L2 = CLUSTER,
        DATA = 2 * CLUSTER,
        LEN = 16 * CLUSTER,
        SIZE = TABLE * CLUSTER,
        NAME_OFFSET = 8,
        NAME_SIZE = 16,
        DISK_SIZE = 24,
        CRYPT = 36,
        L1_OFFSET = 40,
};

#define CODED (UINT64_C(1) << 63)

typedef struct Image {
        uint8_t bytes[LEN];
        size_t len;
} Image;

static void put64(Image *i, size_t at, uint64_t value)
{
        be64 raw = to_be64(value);
        memcpy(i->bytes + at, &raw, sizeof(raw));
}

static void put32(Image *i, size_t at, uint32_t value)
{
        be32 raw = to_be32(value);
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
        memcpy(i->bytes, "QFI\xfb", 4);
        put32(i, 4, 1);
        put64(i, DISK_SIZE, SIZE);
        i->bytes[32] = 12;
        i->bytes[33] = 6;
        put64(i, L1_OFFSET, L1);
        put64(i, L1, L2);
        for (size_t k = 0; k < clusters; k++) {
                entry(i, k, DATA + k * CLUSTER);
                memset(i->bytes + DATA + k * CLUSTER, (int)('a' + k), CLUSTER);
        }
        i->len = DATA + clusters * CLUSTER;
}

/* A cluster full of `byte`, packed at the end of the file. */
static void pack(Image *i, size_t index, uint8_t byte)
{
        uint8_t plain[CLUSTER];
        z_stream z = { 0 };

        memset(plain, byte, sizeof(plain));
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = plain;
        z.avail_in = sizeof(plain);
        z.next_out = i->bytes + i->len;
        z.avail_out = (uInt)(LEN - i->len);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        entry(i, index, CODED | (uint64_t)z.total_out << 51 | i->len);
        i->len += z.total_out;
        deflateEnd(&z);
}

static void open_any(const Image *i, bool writable, Opened *o)
{
        NodeOptions options = { .writable = writable };
        opened_try(o, &format_qcow, i->bytes, i->len, &options);
}

static void open_good(const Image *i, bool writable, Opened *o)
{
        opened_make(o, &format_qcow, i->bytes, i->len, writable);
}

static uint64_t file64(Opened *o, uint64_t at)
{
        be64 raw;
        assert_int_equal(store_read(o->store, &raw, sizeof(raw), at), 0);
        return from_be64(raw);
}

/* It can be read, and not be written to. */
static void assert_read_only(const Image *i, int r, const char *words)
{
        Opened o;
        open_good(i, false, &o);
        opened_done(&o);
        open_any(i, true, &o);
        opened_expect_refusal(&o, r, words);
        opened_done(&o);
}

static void test_map(void **state)
{
        static Image i;
        Extent e;
        Opened o;

        begin(&i, 3);
        pack(&i, 3, 'p');
        entry(&i, 4, DATA + 8);
        entry(&i, 5, UINT64_C(1) << 40);
        entry(&i, 6, CODED | DATA);
        open_good(&i, false, &o);
        assert_int_equal(format_qcow.map(o.node, 10, SIZE - 10, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(e.len, 3 * CLUSTER);
        assert_int_equal(e.pos, DATA);
        assert_int_equal(format_qcow.map(o.node, 3 * CLUSTER, SIZE - 3 * CLUSTER, &e), 0);
        assert_int_equal(e.kind, EXTENT_CODED);
        assert_int_equal(e.len, CLUSTER);
        assert_int_equal(format_qcow.map(o.node, 4 * CLUSTER, 1, &e), -EIO);
        opened_expect_byte(&o, 3 * CLUSTER + 7, 'p');
        opened_expect_byte(&o, 5 * CLUSTER, 0);
        assert_int_equal(format_qcow.map(o.node, 6 * CLUSTER, 1, &e), -EIO);
        assert_int_equal(format_qcow.map(o.node, 7 * CLUSTER, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_BELOW);
        opened_done(&o);
}

static void test_write(void **state)
{
        static Image i, before;
        Opened o;

        begin(&i, 2);
        pack(&i, 2, 'p');
        before = i;
        open_good(&i, true, &o);
        opened_expect_byte(&o, 0, 'a');
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(store_read(o.store, i.bytes, i.len, 0), 0);
        assert_memory_equal(i.bytes, before.bytes, i.len);
        assert_int_equal(opened_file_size(&o), i.len);

        assert_int_equal(node_write(o.node, "x", 1, CLUSTER), 0);
        assert_int_equal(node_write(o.node, "y", 1, 2 * CLUSTER + 1), 0);
        assert_int_equal(node_write(o.node, "z", 1, 50 * CLUSTER), 0);
        /* Entries come after a sync only. */
        assert_int_equal(file64(&o, L2 + 16), from_be64(*(be64 *)(before.bytes + L2 + 16)));
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, L2 + 8), DATA + CLUSTER);
        assert_int_equal(file64(&o, L2 + 16), DATA + 3 * CLUSTER);
        assert_int_equal(file64(&o, L2 + 50 * 8), DATA + 4 * CLUSTER);
        opened_expect_byte(&o, CLUSTER, 'x');
        opened_expect_byte(&o, 2 * CLUSTER, 'p');
        opened_expect_byte(&o, 2 * CLUSTER + 1, 'y');
        opened_expect_byte(&o, 3 * CLUSTER - 1, 'p');
        opened_done(&o);
}

/* Tables of half a kilobyte take a cluster each. */
static void test_new_table(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 1);
        put64(&i, DISK_SIZE, 3 * SIZE);
        open_good(&i, true, &o);
        assert_int_equal(node_write(o.node, "new", 3, 2 * SIZE + CLUSTER), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, L1 + 8), 0);
        assert_int_equal(file64(&o, L1 + 16), DATA + CLUSTER);
        assert_int_equal(file64(&o, DATA + CLUSTER + 8), DATA + 2 * CLUSTER);
        opened_expect_byte(&o, 2 * SIZE + CLUSTER + 1, 'e');
        opened_done(&o);
}

static void test_what_is_only_read(void **state)
{
        static Image i;

        begin(&i, 2);
        entry(&i, 1, UINT64_C(1) << 40);
        assert_read_only(&i, -EUCLEAN, "leads to no cluster in the file");

        begin(&i, 2);
        put64(&i, DISK_SIZE, 2 * SIZE);
        put64(&i, L1 + 8, L2 + 8);
        assert_read_only(&i, -EBADMSG, "lie over each other");
        put64(&i, L1 + 8, L1);
        assert_read_only(&i, -EBADMSG, "no place for an L2 table");

        begin(&i, 1);
        memcpy(i.bytes + 48, "XEN\xfb", 4);
        put32(&i, 60, 2);
        assert_read_only(&i, -EOPNOTSUPP, "Xen's extension");

        begin(&i, 1);
        put64(&i, NAME_OFFSET, L1 + 100);
        put32(&i, NAME_SIZE, 1);
        i.bytes[L1 + 100] = 'b';
        assert_read_only(&i, -EOPNOTSUPP, "behind the L1 table");
}

static void test_places_of_tables(void **state)
{
        static const uint64_t places[] = { 512, L2, L2 - 512, L2 - CLUSTER };
        static Image i;

        for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
                Opened o;
                begin(&i, 2);
                if (places[k] > 0)
                        entry(&i, 1, places[k]);
                open_good(&i, true, &o);
                assert_int_equal(node_write(o.node, "x", 1, 0), 0);
                assert_int_equal(node_write(o.node, "x", 1, CLUSTER), places[k] ? -EIO : 0);
                opened_done(&o);
        }
}

static void test_discard(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 2);
        pack(&i, 2, 'p');
        open_good(&i, true, &o);
        opened_expect_byte(&o, 2 * CLUSTER, 'p');
        assert_int_equal(node_discard(o.node, 100, 3 * CLUSTER - 100), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, L2 + 8), DATA + CLUSTER);
        assert_int_equal(file64(&o, L2 + 16), 0);
        opened_expect_byte(&o, 99, 'a');
        opened_expect_byte(&o, 100, 0);
        opened_expect_byte(&o, CLUSTER, 0);
        opened_expect_byte(&o, 2 * CLUSTER, 0);
        opened_done(&o);
}

/* There is no mark for zeroes over a layer below: they are written. */
static void test_discard_over_a_layer(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 1);
        put64(&i, NAME_OFFSET, 48);
        put32(&i, NAME_SIZE, 1);
        i.bytes[48] = 'b';
        pack(&i, 1, 'p');
        open_good(&i, true, &o);
        assert_string_equal(o.node->backing_name, "b");
        assert_null(o.node->backing_format);
        assert_int_equal(node_discard(o.node, 0, 2 * CLUSTER), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, L2), DATA);
        assert_int_equal(file64(&o, L2 + 8), DATA + 2 * CLUSTER);
        opened_expect_byte(&o, CLUSTER, 0);
        opened_done(&o);
}

static void test_resize(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 4);
        open_good(&i, true, &o);
        assert_int_equal(node_resize(o.node, 2 * CLUSTER + 512), 0);
        assert_int_equal(file64(&o, DISK_SIZE), 2 * CLUSTER + 512);
        uint8_t byte = 1;
        assert_int_equal(store_read(o.store, &byte, 1, DATA + 3 * CLUSTER), 0);
        assert_int_equal(byte, 0);
        assert_int_equal(node_resize(o.node, 0), -EOPNOTSUPP);
        assert_int_equal(node_resize(o.node, UINT64_C(1) << 60), -EFBIG);

        /* The L1 table needs more entries than there are, and another place. */
        assert_int_equal(node_resize(o.node, 10 * SIZE), 0);
        assert_int_equal(node_write(o.node, "x", 1, 9 * SIZE), 0);
        assert_int_equal(file64(&o, L1_OFFSET), L1);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_equal(file64(&o, DISK_SIZE), 10 * SIZE);
        assert_int_equal(file64(&o, L1_OFFSET), DATA + 4 * CLUSTER);
        assert_int_equal(file64(&o, DATA + 4 * CLUSTER), L2);
        assert_int_equal(file64(&o, L1), L2);
        opened_expect_byte(&o, 2 * CLUSTER, 'c');
        opened_expect_byte(&o, 2 * CLUSTER + 512, 0);
        opened_expect_byte(&o, 3 * CLUSTER, 0);
        opened_expect_byte(&o, 9 * SIZE, 'x');
        opened_done(&o);
}

static void test_encrypted(void **state)
{
        static Image i;
        Info info = { 0 };
        uint8_t byte;
        Opened o;

        begin(&i, 1);
        pack(&i, 1, 'p');
        put32(&i, CRYPT, 1);
        /* Nobody has a passphrase, and nobody may write. */
        open_any(&i, false, &o);
        assert_int_equal(o.r, -ENOKEY);
        opened_done(&o);
        open_any(&i, true, &o);
        assert_int_equal(o.r, -EOPNOTSUPP);
        assert_non_null(strstr(o.err.text, "AES"));
        opened_done(&o);

        /* It can be described all the same. */
        o = (Opened){ 0 };
        assert_int_equal(cache_new(0, &o.cache), 0);
        assert_int_equal(mem_store_new(i.bytes, i.len, &o.store), 0);
        NodeOptions options = { .cache = o.cache, .stays_locked = true };
        assert_int_equal(node_open(&format_qcow, o.store, &options, NULL, &o.node, &o.err), 0);
        assert_int_equal(format_qcow.describe(o.node, &info), 0);
        assert_int_equal(info.cluster_size, CLUSTER);
        assert_true(info.encrypted);
        info_done(&info);
        assert_int_equal(node_read(o.node, &byte, 1, 0), -ENOKEY);
        opened_expect_byte(&o, CLUSTER, 'p');
        opened_done(&o);
}

/* What others have left behind the end is not brought to light. */
static void test_growing_over_old_bytes(void **state)
{
        static Image i;
        Opened o;

        begin(&i, 4);
        put64(&i, DISK_SIZE, 2 * CLUSTER);
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
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_new_table),
                cmocka_unit_test(test_what_is_only_read),
                cmocka_unit_test(test_places_of_tables),
                cmocka_unit_test(test_discard),
                cmocka_unit_test(test_discard_over_a_layer),
                cmocka_unit_test(test_resize),
                cmocka_unit_test(test_growing_over_old_bytes),
                cmocka_unit_test(test_encrypted),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
