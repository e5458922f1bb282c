/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/audit.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OFFSET UINT64_C(0x00fffffffffffe00)
#define COPIED (UINT64_C(1) << 63)
#define PACKED (UINT64_C(1) << 62)

typedef struct Book {
        uint8_t *bytes; /* owned: the whole file */
        uint64_t len;
        uint32_t *found; /* owned: references to each cluster */
        uint64_t count;  /* of clusters */
        unsigned version, cluster_bits, refcount_order, entry_len;
        uint64_t cluster;
        bool data_file;
        Audit *audit;
} Book;

static void book_note(Book *b, uint64_t *number, const char *what, uint64_t pos)
{
        if (b->audit->corruptions + b->audit->leaks == 0)
                snprintf(b->audit->text, sizeof(b->audit->text), "%s at %#" PRIx64, what, pos);
        ++*number;
}

static void book_wrong(Book *b, const char *what, uint64_t pos)
{
        book_note(b, &b->audit->corruptions, what, pos);
}

/* Big-endian, zeroes past the end. */
static uint64_t at(const Book *b, uint64_t pos, unsigned width)
{
        uint64_t value = 0;
        for (unsigned i = 0; i < width; i++)
                value = value << 8 | (in_range(pos + i, 1, b->len) ? b->bytes[pos + i] : 0);
        return value;
}

/* One reference to each cluster that the range touches. */
static void book_refer(Book *b, const char *what, uint64_t pos, uint64_t len)
{
        if (len == 0)
                return;
        for (uint64_t k = pos / b->cluster; k <= (pos + len - 1) / b->cluster; k++) {
                if (k < b->count)
                        b->found[k]++;
                else
                        book_wrong(b, what, pos);
        }
}

static uint64_t book_refcount(const Book *b, uint64_t k)
{
        uint64_t bits = UINT64_C(1) << b->refcount_order;
        uint64_t in_block = b->cluster * 8 / bits;
        uint64_t table = at(b, 48, 8), table_count = at(b, 56, 4) * b->cluster / 8;

        if (k / in_block >= table_count)
                return 0;
        uint64_t block = at(b, table + k / in_block * 8, 8) & ~UINT64_C(511);
        if (block == 0)
                return 0;
        uint64_t bit = k % in_block * bits;
        if (bits >= 8)
                return at(b, block + bit / 8, (unsigned)bits / 8);
        return at(b, block + bit / 8, 1) >> bit % 8 & ((1U << bits) - 1);
}

/* COPIED says that there is one reference; only the active tables may be believed. */
static void book_check_copied(Book *b, const char *what, uint64_t entry, uint64_t entry_pos)
{
        bool alone = b->data_file && strcmp(what, "data") == 0;
        if (!alone)
                alone = book_refcount(b, (entry & OFFSET) / b->cluster) == 1;
        if (alone != !!(entry & COPIED))
                book_wrong(b, "COPIED", entry_pos);
}

static void book_walk_entry(Book *b, uint64_t entry_pos, bool active)
{
        uint64_t entry = at(b, entry_pos, 8), place = entry & OFFSET;
        uint64_t bitmap = b->entry_len == 16 ? at(b, entry_pos + 8, 8) : 0;

        if (entry & PACKED) {
                unsigned x = 62 - (b->cluster_bits - 8);
                uint64_t pos = entry & ((UINT64_C(1) << x) - 1);
                uint64_t more = (entry & (PACKED - 1)) >> x;
                if ((entry & COPIED) || bitmap != 0)
                        book_wrong(b, "packed entry", entry_pos);
                book_refer(b, "packed data", pos & ~UINT64_C(511), (more + 1) * 512);
                return;
        }
        if ((bitmap & 0xffffffff) & (bitmap >> 32))
                book_wrong(b, "subcluster bitmap", entry_pos);
        if ((entry & 1) && (b->version == 2 || b->entry_len == 16))
                book_wrong(b, "zero bit", entry_pos);
        if (entry & UINT64_C(0x3f000000000001fe))
                book_wrong(b, "reserved bits", entry_pos);
        if (place == 0 && !(b->data_file && (entry & COPIED))) {
                if (bitmap & 0xffffffff)
                        book_wrong(b, "subclusters of nothing", entry_pos);
                return;
        }
        if (!is_aligned(place, b->cluster))
                book_wrong(b, "misaligned data", entry_pos);
        if (active)
                book_check_copied(b, "data", entry, entry_pos);
        if (!b->data_file)
                book_refer(b, "data", place, b->cluster);
}

static void book_walk_l1(Book *b, uint64_t pos, uint64_t count, bool active)
{
        book_refer(b, "L1 table", pos, count * 8);
        for (uint64_t i = 0; i < count; i++) {
                uint64_t entry = at(b, pos + 8 * i, 8), table = entry & OFFSET;
                if (entry & UINT64_C(0x7f000000000001ff))
                        book_wrong(b, "reserved bits", pos + 8 * i);
                if (table == 0)
                        continue;
                if (active)
                        book_check_copied(b, "L2 table", entry, pos + 8 * i);
                book_refer(b, "L2 table", table, b->cluster);
                for (uint64_t k = 0; k < b->cluster; k += b->entry_len)
                        book_walk_entry(b, table + k, active);
        }
}

static void book_walk_snapshots(Book *b)
{
        uint64_t start = at(b, 64, 8), pos = start;

        for (uint64_t i = 0; i < at(b, 60, 4); i++) {
                book_walk_l1(b, at(b, pos, 8), at(b, pos + 8, 4), false);
                uint64_t len = 40 + at(b, pos + 36, 4) + at(b, pos + 12, 2) + at(b, pos + 14, 2);
                pos += round_up(len, 8);
        }
        book_refer(b, "snapshot table", start, pos - start);
}

static void book_walk_refcounts(Book *b)
{
        uint64_t table = at(b, 48, 8), clusters = at(b, 56, 4);

        book_refer(b, "refcount table", table, clusters * b->cluster);
        for (uint64_t i = 0; i < clusters * b->cluster / 8; i++) {
                uint64_t entry = at(b, table + 8 * i, 8);
                if (!is_aligned(entry, b->cluster))
                        book_wrong(b, "refcount table entry", table + 8 * i);
                if (entry != 0)
                        book_refer(b, "refcount block", entry, b->cluster);
        }
}

/* All counts that the blocks have room for: also behind the end of the file none may be left. */
static void book_compare(Book *b)
{
        uint64_t in_block = b->cluster * 8 >> b->refcount_order;
        uint64_t table_count = at(b, 56, 4) * b->cluster / 8;

        for (uint64_t k = 0; k < u64_max(b->count, table_count * in_block); k++) {
                uint64_t says = book_refcount(b, k), is = k < b->count ? b->found[k] : 0;
                if (says < is)
                        book_wrong(b, "refcount too low", k * b->cluster);
                if (says > is)
                        book_note(b, &b->audit->leaks, "refcount too high", k * b->cluster);
                if (k >= b->count && at(b, at(b, 48, 8) + k / in_block * 8, 8) == 0)
                        k = round_down(k, in_block) + in_block - 1;
        }
}

static int book_open(Book *b, Store *s)
{
        int r = store_get_size(s, &b->len);
        if (r < 0)
                return r;
        b->bytes = malloc((size_t)u64_max(b->len, 1));
        if (!b->bytes)
                return -ENOMEM;
        r = store_read(s, b->bytes, (size_t)b->len, 0);
        if (r < 0)
                return r;
        b->version = (unsigned)at(b, 4, 4);
        b->cluster_bits = (unsigned)at(b, 20, 4);
        if (at(b, 0, 4) != 0x514649fb || b->cluster_bits < 9 || b->cluster_bits > 21)
                return -EBADMSG;
        b->cluster = UINT64_C(1) << b->cluster_bits;
        b->refcount_order = b->version == 2 ? 4 : (unsigned)at(b, 96, 4);
        b->entry_len = b->version == 3 && (at(b, 72, 8) & 1 << 4) ? 16 : 8;
        b->data_file = b->version == 3 && (at(b, 72, 8) & 1 << 2);
        b->count = div_round_up(b->len, b->cluster);
        b->found = calloc((size_t)u64_max(b->count, 1), sizeof(*b->found));
        return b->found ? 0 : -ENOMEM;
}

/* The header of the encryption: the first extension, as the sample and qemu-img have it, or none. */
static void book_walk_encryption(Book *b)
{
        uint64_t extensions = b->version == 3 ? at(b, 100, 4) : 72;

        if (at(b, 32, 4) == 2 && at(b, extensions, 4) == 0x0537be77)
                book_refer(b, "encryption header", at(b, extensions + 8, 8),
                           at(b, extensions + 16, 8));
}

static void book_walk(Book *b)
{
        book_refer(b, "header", 0, b->cluster);
        book_walk_l1(b, at(b, 40, 8), at(b, 36, 4), true);
        book_walk_snapshots(b);
        book_walk_encryption(b);
        book_walk_refcounts(b);
        book_compare(b);
}

int audit_qcow2(Store *s, Audit *ret)
{
        Book b = { .audit = ret };

        *ret = (Audit){ .text = "nothing" };
        int r = book_open(&b, s);
        if (r >= 0)
                book_walk(&b);
        free(b.bytes);
        free(b.found);
        return r;
}
