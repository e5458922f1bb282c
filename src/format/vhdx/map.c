/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where guest bytes lie: the entry of the block in the BAT, and for blocks that are partially present the bits of their
 * sectors. Neighbours of one kind become one extent. Damage is told only for the bytes it hits.
 */
#include "base/bits.h"
#include "block/cache.h"
#include "format/vhdx/write/writer.h"

#include <errno.h>
#include <string.h>

enum {
        /* How many blocks one map looks at beyond the one that it was asked for. */
        VHDX_MAP_BLOCKS = 8192,
};

/* Past the end of the file a page has zeroes, which nobody takes for entries: see vhdx_get_entry. */
static int vhdx_load_page(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

int vhdx_get_page(Node *n, uint64_t pos, CacheEntry **ret)
{
        const Vhdx *v = n->state;
        CacheKey key = { .owner = n, .kind = VHDX_CACHE_PAGE, .at = pos };

        return cache_get(n->cache, &key, VHDX_PAGE, vhdx_load_page, v->store, ret);
}

/* A page of the BAT, kept from one entry to the next. */
typedef struct VhdxReader {
        Node *node;
        CacheEntry *page;
        uint64_t pos;
} VhdxReader;

static void vhdx_reader_done(VhdxReader *reader)
{
        cache_put(reader->node->cache, reader->page);
}
#define _cleanup_reader_ __attribute__((cleanup(vhdx_reader_done)))

static int vhdx_read_entry(VhdxReader *reader, uint64_t index, uint64_t *ret)
{
        Node *n = reader->node;
        const Vhdx *v = n->state;
        uint64_t at = v->bat.pos + index * sizeof(le64);
        uint64_t pos = round_down(at, VHDX_PAGE);
        le64 raw;

        if (!in_range(at, sizeof(raw), v->file_size))
                return -EIO;
        if (!reader->page || reader->pos != pos) {
                cache_put(n->cache, reader->page);
                reader->page = NULL;
                int r = vhdx_get_page(n, pos, &reader->page);
                if (r < 0)
                        return r;
                reader->pos = pos;
        }
        const uint8_t *bytes = cache_entry_bytes(reader->page);
        if (v->writer)
                pthread_mutex_lock(&v->writer->page_lock);
        memcpy(&raw, bytes + at % VHDX_PAGE, sizeof(raw));
        if (v->writer)
                pthread_mutex_unlock(&v->writer->page_lock);
        *ret = from_le64(raw);
        return 0;
}

int vhdx_get_entry(Node *n, uint64_t index, uint64_t *ret)
{
        _cleanup_reader_ VhdxReader reader = { .node = n };

        return vhdx_read_entry(&reader, index, ret);
}

static uint64_t vhdx_file_end(const Vhdx *v)
{
        return v->writer ? atomic_load(&v->writer->file_end) : v->file_size;
}

/* A block that is in the file begins behind the headers and before the end. Some programs leave away the end of the last
 * one: that reads as zeroes. */
static int vhdx_map_data(const Vhdx *v, uint64_t entry, Extent *ret)
{
        uint64_t pos = entry & VHDX_ENTRY_POS;

        if (pos < VHDX_UNIT || pos >= vhdx_file_end(v))
                return -EIO;
        ret->kind = EXTENT_DATA;
        ret->store = v->store;
        ret->pos = pos;
        ret->in_place = v->writer && atomic_load(&v->writer->prepared);
        return 0;
}

/* How many bits from `at` on, before `end`, are as the first one, which is *ret_bit. */
static uint64_t vhdx_count_bits(const uint8_t *bits, uint64_t at, uint64_t end, bool *ret_bit)
{
        bool bit = bits[at / 8] >> (at % 8) & 1;
        uint8_t all = bit ? 0xff : 0;
        uint64_t i = at;

        while (i < end) {
                if (i % 8 == 0 && bits[i / 8] == all)
                        i += 8;
                else if ((bits[i / 8] >> (i % 8) & 1) == bit)
                        i++;
                else
                        break;
        }
        *ret_bit = bit;
        return u64_min(i, end) - at;
}

/* A part of a partially present block, from the sector of `off` on: those that are here, or those that are below. */
static int vhdx_map_partial(Node *n, uint64_t off, uint64_t entry, Extent *ret)
{
        const Vhdx *v = n->state;
        uint64_t block = off >> v->block_bits;
        uint64_t start = block << v->block_bits;
        uint64_t sectors = UINT64_C(1) << (v->block_bits - v->sector_bits);
        uint64_t in_chunk = block & ((UINT64_C(1) << v->chunk_bits) - 1);
        uint64_t bit = in_chunk * sectors + ((off - start) >> v->sector_bits);
        uint64_t bitmap = 0;
        CacheEntry *page = NULL;
        bool here = false;

        if (!v->has_parent)
                return -EIO;
        int r = vhdx_get_entry(n, vhdx_bitmap_index(v, block), &bitmap);
        if (r < 0)
                return r;
        uint64_t pos = bitmap & VHDX_ENTRY_POS;
        if ((bitmap & VHDX_ENTRY_STATE) != VHDX_FULLY_PRESENT || (bitmap & VHDX_ENTRY_RESERVED) ||
            pos < VHDX_UNIT || !in_range(pos + bit / 8, 1, v->file_size))
                return -EIO;

        uint64_t at = round_down(bit / 8, VHDX_PAGE);
        r = vhdx_get_page(n, pos + at, &page);
        if (r < 0)
                return r;
        uint64_t first = bit - at * 8, last = (in_chunk + 1) * sectors - at * 8;
        uint64_t count = vhdx_count_bits(cache_entry_bytes(page), first,
                                         u64_min(last, VHDX_PAGE * 8), &here);
        cache_put(n->cache, page);

        uint64_t from = round_down(off, UINT64_C(1) << v->sector_bits);
        *ret = (Extent){ .kind = EXTENT_BELOW };
        r = here ? vhdx_map_data(v, entry, ret) : 0;
        ret->off = from;
        ret->len = count << v->sector_bits;
        ret->pos = here ? ret->pos + (from - start) : 0;
        return r;
}

/* What the entry of a block says of the block, or of a part of it from `off` on. */
static int vhdx_classify(Node *n, uint64_t off, uint64_t entry, Extent *ret)
{
        const Vhdx *v = n->state;

        if (entry & VHDX_ENTRY_RESERVED)
                return -EIO;
        *ret = (Extent){ .off = round_down(off, vhdx_block_size(v)), .len = vhdx_block_size(v) };
        switch (entry & VHDX_ENTRY_STATE) {
        case VHDX_NOT_PRESENT:
                ret->kind = EXTENT_BELOW;
                return 0;
        case VHDX_UNDEFINED:
        case VHDX_ZERO:
        case VHDX_UNMAPPED:
        case VHDX_UNMAPPED_OLD:
                ret->kind = EXTENT_HOLE;
                return 0;
        case VHDX_FULLY_PRESENT:
                return vhdx_map_data(v, entry, ret);
        case VHDX_PARTIALLY_PRESENT:
                return vhdx_map_partial(n, off, entry, ret);
        default:
                return -EIO;
        }
}

static bool vhdx_is_next(const Extent *e, const Extent *next)
{
        return next->kind == e->kind && next->off == e->off + e->len &&
               (e->kind != EXTENT_DATA || next->pos == e->pos + e->len);
}

int vhdx_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Vhdx *v = n->state;
        _cleanup_reader_ VhdxReader reader = { .node = n };
        uint64_t end = off + len, entry = 0;
        Extent e, next;

        int r = vhdx_read_entry(&reader, vhdx_entry_index(v, off >> v->block_bits), &entry);
        if (r >= 0)
                r = vhdx_classify(n, off, entry, &e);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < VHDX_MAP_BLOCKS && e.off + e.len < end; i++) {
                uint64_t at = e.off + e.len;
                r = vhdx_read_entry(&reader, vhdx_entry_index(v, at >> v->block_bits), &entry);
                if (r >= 0)
                        r = vhdx_classify(n, at, entry, &next);
                if (r < 0 || !vhdx_is_next(&e, &next))
                        break;
                e.len += next.len;
        }
        *ret = e;
        return 0;
}
