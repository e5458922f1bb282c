/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the blocks of a disk lie. */
#include "block/flat.h"

#include "base/bits.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/flat-writer.h"

#include <errno.h>
#include <string.h>

enum {
        /* Pieces that one answer of map looks at: one of them is 4 KiB of the table. */
        MAP_PIECES = 64,
};

uint64_t flat_present(const Flat *f)
{
        uint64_t len = f->file_size - u64_min(f->file_size, f->table_pos);
        return u64_min(f->count, len / FLAT_ENTRY_LEN);
}

uint64_t flat_place_pos(const Flat *f, uint64_t place)
{
        return f->first_pos + place * f->stride + f->lead;
}

bool flat_find_place(const Flat *f, uint64_t pos, uint64_t *ret_place)
{
        uint64_t first = flat_place_pos(f, 0);

        if (pos < first || (pos - first) % f->stride != 0)
                return false;
        *ret_place = (pos - first) / f->stride;
        return true;
}

bool flat_bits_are_free(
        const Flat *f, const uint8_t *bits, uint64_t room, uint64_t pos, uint64_t len)
{
        uint64_t end = pos + len > f->first_pos ? pos + len - f->first_pos : 0;
        uint64_t first = (pos - u64_min(pos, f->first_pos)) / f->stride;

        for (uint64_t i = first; i < u64_min(div_round_up(end, f->stride), room); i++)
                if (flat_bit_is_set(bits, i))
                        return false;
        return true;
}

/* What lies behind the end of the file is not looked at. */
static int flat_load_piece(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

int flat_get_piece(Node *n, const Flat *f, uint64_t index, FlatPiece *ret)
{
        uint64_t first = round_down(index, FLAT_PIECE_ENTRIES);
        CacheKey key = { .owner = n,
                         .kind = FLAT_CACHE_PIECE,
                         .at = f->table_pos + first * FLAT_ENTRY_LEN };
        CacheEntry *entry = NULL;

        int r = cache_get(n->cache, &key, FLAT_PIECE_LEN, flat_load_piece, n->store, &entry);
        if (r < 0)
                return r;
        *ret = (FlatPiece){ entry, first };
        return 0;
}

/* A writer may be changing it: it is one load or store. */
uint32_t flat_load_entry(const FlatPiece *p, uint64_t index)
{
        const uint32_t *raw = cache_entry_bytes(p->entry);
        uint32_t value = __atomic_load_n(raw + (index - p->first), __ATOMIC_ACQUIRE);
        le32 disk;

        memcpy(&disk, &value, sizeof(disk));
        return from_le32(disk);
}

int flat_read_entries(
        Node *n, const Flat *f, uint64_t first, uint64_t most, uint32_t *out, uint64_t *ret_count)
{
        uint64_t present = f->writer ? f->count : flat_present(f);
        FlatPiece piece;

        if (first >= present)
                return -EIO;
        int r = flat_get_piece(n, f, first, &piece);
        if (r < 0)
                return r;
        uint64_t end = u64_min(piece.first + FLAT_PIECE_ENTRIES, present);
        uint64_t count = u64_min(most, end - first);
        for (uint64_t i = 0; i < count; i++)
                out[i] = flat_load_entry(&piece, first + i);
        cache_put(n->cache, piece.entry);
        *ret_count = count;
        return 0;
}

/* What is missing of a block at the end of a file that was cut off cannot be read. */
static int flat_clip(const Flat *f, uint64_t off, Extent *e)
{
        if (f->writer || e->kind != EXTENT_DATA)
                return 0;
        uint64_t there = f->file_size - u64_min(f->file_size, e->pos);
        e->len = u64_min(e->len, there);
        return off - e->off < e->len ? 0 : -EIO;
}

static int flat_classify(Node *n, const Flat *f, uint64_t index, uint32_t entry, Extent *ret)
{
        Extent e = { .kind = EXTENT_HOLE, .off = index * f->block_size, .len = f->block_size };

        int r = f->kind->locate(f, entry, &e.pos);
        if (r < 0)
                return r;
        if (r > 0) {
                e.kind = EXTENT_DATA;
                e.store = n->store;
                e.unproven = f->unproven;
                e.in_place = flat_is_prepared(f);
        }
        *ret = e;
        return 0;
}

/* Is `e` of the same kind, where `run` ends? */
static bool flat_run_continues(const Extent *run, const Extent *e)
{
        return run->off + run->len == e->off && run->kind == e->kind &&
               run->in_place == e->in_place &&
               (e->kind == EXTENT_HOLE || run->pos + run->len == e->pos);
}

/* Adds blocks to the run: 1 go on behind them, 0 the run ends. */
static int flat_run_add(Node *n,
                        const Flat *f,
                        uint64_t off,
                        uint64_t index,
                        const uint32_t *entries,
                        uint64_t count,
                        Extent *run)
{
        for (uint64_t i = 0; i < count; i++) {
                Extent e;
                int r = flat_classify(n, f, index + i, entries[i], &e);
                if (r >= 0)
                        r = flat_clip(f, u64_max(off, e.off), &e);
                if (r < 0)
                        return run->len > 0 ? 0 : r;
                if (run->len > 0 && !flat_run_continues(run, &e))
                        return 0;
                if (run->len > 0)
                        run->len += e.len;
                else
                        *run = e;
        }
        return 1;
}

int flat_map(Node *n, Flat *f, uint64_t off, uint64_t len, Extent *ret)
{
        uint64_t index = off / f->block_size, end = div_round_up(off + len, f->block_size);
        Extent run = { 0 };

        for (int i = 0; i < MAP_PIECES && index < end; i++) {
                uint32_t entries[FLAT_PIECE_ENTRIES];
                uint64_t count = 0;
                int r = flat_read_entries(n, f, index, end - index, entries, &count);
                if (r >= 0)
                        r = flat_run_add(n, f, off, index, entries, count, &run);
                if (r < 0 && run.len == 0)
                        return r;
                if (r <= 0)
                        break;
                index += count;
        }
        run.len = u64_min(run.len, n->size - run.off);
        *ret = run;
        return 0;
}
