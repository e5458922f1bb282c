/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where guest bytes lie: the BAT says where a block's place is, the bitmap in front of its data which of its sectors are
 * there. Those that are not read as zeroes, in a differencing disk as what is below.
 *
 * Damage is told only for the bytes it hits: an extent ends before it, and the next map, which starts there, fails.
 */
#include "base/bits.h"
#include "format/vhd/vhd.h"
#include "format/vhd/writer.h"

#include <errno.h>
#include <string.h>

enum {
        /* How many blocks without a place one map looks at. */
        VHD_MAP_ABSENT = 4096,
};

static int vhd_load_piece(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

/* The entry of the BAT as it stands in the file. */
static int vhd_bat_read(Node *n, uint64_t index, uint32_t *ret)
{
        const Vhd *v = n->state;
        uint64_t at = index * sizeof(be32);
        CacheKey key = {
                .owner = n,
                .kind = VHD_CACHE_BAT,
                .at = v->bat_pos + round_down(at, VHD_BAT_PIECE),
        };
        CacheEntry *entry = NULL;
        be32 raw;

        int r = cache_get(n->cache, &key, VHD_BAT_PIECE, vhd_load_piece, n->store, &entry);
        if (r < 0)
                return r;
        memcpy(&raw, (uint8_t *)cache_entry_bytes(entry) + at % VHD_BAT_PIECE, sizeof(raw));
        cache_put(n->cache, entry);
        *ret = from_be32(raw);
        return 0;
}

bool vhd_hits_metadata(const Vhd *v, uint64_t pos, uint64_t len)
{
        const struct {
                uint64_t pos, len;
        } ranges[] = {
                { 0, VHD_FOOTER_LEN },
                { v->header_pos, VHD_HEADER_LEN },
                { v->bat_pos, v->block_count * sizeof(be32) },
        };

        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
                if (pos < ranges[i].pos + ranges[i].len && ranges[i].pos < pos + len)
                        return true;
        return false;
}

int vhd_get_block(Node *n, uint64_t index, uint64_t *ret_pos)
{
        const Vhd *v = n->state;
        uint32_t entry = 0;

        int r = v->writer ? vhd_writer_get(v->writer, index, &entry)
                          : vhd_bat_read(n, index, &entry);
        if (r < 0)
                return r;
        if (entry == VHD_BAT_ABSENT) {
                *ret_pos = 0;
                return 0;
        }
        uint64_t pos = (uint64_t)entry * VHD_SECTOR;
        if (vhd_hits_metadata(v, pos, vhd_place_len(v)) ||
            !in_range(pos, v->bitmap_len, atomic_load(&v->file_end)))
                return -EIO;
        *ret_pos = pos;
        return 0;
}

/* How many bits from `bit` on, and before `end`, are as that one is; *ret_set. The first one is the highest of a byte. */
static uint64_t vhd_count_alike(const uint8_t *bitmap, uint64_t bit, uint64_t end, bool *ret_set)
{
        bool set = bitmap[bit / 8] >> (7 - bit % 8) & 1;
        uint8_t whole = set ? 0xff : 0;
        uint64_t at = bit;

        while (at < end && (bitmap[at / 8] >> (7 - at % 8) & 1) == set)
                at += at % 8 == 0 && bitmap[at / 8] == whole ? 8 : 1;
        *ret_set = set;
        return u64_min(at, end) - bit;
}

/* The sectors [sector, end) of a block, of which the first is in the piece: how many are alike. */
static int vhd_read_bitmap(
        Node *n, uint64_t pos, uint64_t sector, uint64_t end, uint64_t *ret_count, bool *ret_set)
{
        uint64_t first = round_down(sector, VHD_PIECE_SECTORS);
        CacheKey key = {
                .owner = n,
                .kind = VHD_CACHE_BITMAP,
                .at = pos + first / 8,
        };
        CacheEntry *entry = NULL;

        int r = cache_get(n->cache, &key, VHD_BITMAP_PIECE, vhd_load_piece, n->store, &entry);
        if (r < 0)
                return r;
        *ret_count = vhd_count_alike(cache_entry_bytes(entry), sector - first,
                                     u64_min(end - first, VHD_PIECE_SECTORS), ret_set);
        cache_put(n->cache, entry);
        return 0;
}

/* Of a block with a place, the part of [off, end) from `off` on that is of one kind. */
static int vhd_map_block(Node *n, uint64_t pos, uint64_t off, uint64_t end, Extent *ret)
{
        const Vhd *v = n->state;
        uint64_t block = round_down(off, v->block_size);
        uint64_t sector = (off - block) / VHD_SECTOR;
        uint64_t last = div_round_up(u64_min(end, block + v->block_size) - block, VHD_SECTOR);
        uint64_t count = 0;
        bool set = false;

        int r = vhd_read_bitmap(n, pos, sector, last, &count, &set);
        if (r < 0)
                return r;
        Extent e = {
                .kind = set                      ? EXTENT_DATA
                        : v->type == VHD_DYNAMIC ? EXTENT_HOLE
                                                 : EXTENT_BELOW,
                .off = block + sector * VHD_SECTOR,
                .len = count * VHD_SECTOR,
        };
        if (set) {
                uint64_t file_end = atomic_load(&v->file_end);
                e.store = n->store;
                e.pos = pos + v->bitmap_len + sector * VHD_SECTOR;
                e.in_place = v->writer != NULL;
                /* What is cut off with the end of the file is lost, and nothing else. */
                if (!in_range(e.pos, VHD_SECTOR, file_end))
                        return -EIO;
                e.len = u64_min(e.len, round_down(file_end - e.pos, VHD_SECTOR));
        }
        *ret = e;
        return 0;
}

/* From the block at `off` on, which has no place, all that have none. */
static int vhd_map_absent(Node *n, uint64_t off, uint64_t end, Extent *ret)
{
        const Vhd *v = n->state;
        uint64_t at = round_down(off, v->block_size);
        Extent e = { .kind = v->type == VHD_DYNAMIC ? EXTENT_HOLE : EXTENT_BELOW, .off = at };

        for (unsigned i = 0; i < VHD_MAP_ABSENT; i++) {
                uint64_t pos = 0;
                at += v->block_size;
                if (at >= end)
                        break;
                int r = vhd_get_block(n, at >> v->block_bits, &pos);
                if (r < 0 || pos != 0)
                        break;
        }
        e.len = at - e.off;
        *ret = e;
        return 0;
}

int vhd_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Vhd *v = n->state;
        uint64_t pos = 0;

        if (v->type == VHD_FIXED) {
                *ret = (Extent){
                        .kind = EXTENT_DATA,
                        .len = n->size,
                        .store = n->store,
                        .in_place = true,
                        .unproven = true,
                };
                return 0;
        }
        int r = vhd_get_block(n, off >> v->block_bits, &pos);
        if (r >= 0)
                r = pos == 0 ? vhd_map_absent(n, off, off + len, ret)
                             : vhd_map_block(n, pos, off, off + len, ret);
        if (r < 0)
                return r;
        ret->len = u64_min(ret->len, n->size - ret->off);
        return 0;
}
