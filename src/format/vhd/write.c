/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places for what is written: whole blocks, one at a time, since bitmaps lie between them. All sectors of a new block are
 * there from the beginning, so that it is in place from then on.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/vhd/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        VHD_ONES_LEN = 4096,
};

/* Before the first block is placed: from then on the front footer may be the only one. Wants the lock. */
static int vhd_prepare(Node *n)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;

        if (w->prepared)
                return 0;
        int r = store_write(n->store, vhd_footer(v), VHD_FOOTER_LEN, 0);
        if (r >= 0)
                r = node_sync(n);
        w->prepared = r >= 0;
        return r;
}

/* Says that all sectors of the block at `pos` are there. */
static int vhd_fill_bitmap(Node *n, uint64_t pos)
{
        const Vhd *v = n->state;
        uint64_t sectors = v->block_size / VHD_SECTOR;
        uint8_t bytes[VHD_ONES_LEN];
        int r = 0;

        for (uint64_t done = 0; r >= 0 && done < v->bitmap_len; done += sizeof(bytes)) {
                size_t len = (size_t)u64_min(v->bitmap_len - done, sizeof(bytes));
                for (size_t i = 0; i < len; i++) {
                        uint64_t first = (done + i) * 8;
                        uint64_t count = u64_min(8, sectors - u64_min(first, sectors));
                        bytes[i] = (uint8_t)(0xff00 >> count);
                }
                r = store_write(n->store, bytes, len, pos + done);
        }
        for (uint64_t done = 0; done < v->bitmap_len; done += VHD_BITMAP_PIECE)
                cache_drop(n->cache, &(CacheKey){ n, VHD_CACHE_BITMAP, pos + done });
        return r;
}

/* A place at the end of the file, which reads as zeroes; first the footer moves behind it. Wants the lock. */
static int vhd_place_at_end(Node *n, uint64_t *ret_pos)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;
        uint64_t end = w->end + vhd_place_len(v);

        if (w->end / VHD_SECTOR >= VHD_BAT_ABSENT)
                return -ENOSPC;
        int r = store_write(n->store, vhd_footer(v), VHD_FOOTER_LEN, end);
        if (r < 0) {
                /* A part may have been written: the file is to end with the footer that is still there. */
                uint64_t size = u64_max(w->end + VHD_FOOTER_LEN, atomic_load(&v->file_end));
                (void)store_set_size(n->store, size);
                return r;
        }
        *ret_pos = w->end;
        w->end = end;
        atomic_store_explicit(&v->file_end, end + VHD_FOOTER_LEN, memory_order_release);
        return 0;
}

/* Wants the lock. */
static int vhd_place(Node *n, uint64_t off, Extent *ret)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;
        uint64_t pos = 0;
        bool zeroed = w->spare_count == 0;

        int r = vhd_prepare(n);
        if (r >= 0 && zeroed)
                r = vhd_place_at_end(n, &pos);
        if (r < 0)
                return r;
        if (!zeroed)
                pos = w->spare[--w->spare_count];
        r = vhd_fill_bitmap(n, pos);
        if (r < 0) {
                vhd_spare_add(w, pos);
                return r;
        }
        *ret = (Extent){
                .kind = EXTENT_DATA,
                .off = round_down(off, v->block_size),
                .len = v->block_size,
                .store = n->store,
                .pos = pos + v->bitmap_len,
                .in_place = true,
                .zeroed = zeroed,
        };
        return 0;
}

/* A block of another writer's, of which some sectors are not there: they become so, as zeroes. */
static int vhd_complete_block(Node *n, uint64_t off, uint64_t pos)
{
        const Vhd *v = n->state;
        uint64_t at = round_down(off, v->block_size), end = at + v->block_size;
        uint64_t block = at;

        while (at < u64_min(end, n->size)) {
                Extent e;
                int r = vhd_map(n, at, end - at, &e);
                if (r >= 0 && e.kind != EXTENT_DATA)
                        r = store_zero(n->store, pos + v->bitmap_len + (e.off - block), e.len);
                if (r < 0)
                        return r;
                at = e.off + e.len;
        }
        int r = node_sync(n);
        return r < 0 ? r : vhd_fill_bitmap(n, pos);
}

int vhd_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Vhd *v = n->state;
        uint64_t pos = 0;

        int r = vhd_get_block(n, off >> v->block_bits, &pos);
        if (r < 0)
                return r;
        if (pos != 0) {
                r = vhd_complete_block(n, off, pos);
                return r < 0 ? r : -EAGAIN;
        }
        LOCKED(&v->writer->lock)
        {
                r = vhd_place(n, off, ret);
        }
        return r;
}

int vhd_publish(Node *n, const Extent *e)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;
        uint64_t index = e->off >> v->block_bits;
        uint8_t *dirty = &w->dirty[index / VHD_BAT_SECTOR_ENTRIES];

        LOCKED(&w->lock)
        {
                atomic_store_explicit(&w->bat[index],
                                      (uint_least32_t)((e->pos - v->bitmap_len) / VHD_SECTOR),
                                      memory_order_release);
                w->dirty_count += *dirty == 0;
                *dirty = 1;
        }
        return 0;
}

void vhd_release(Node *n, const Extent *e)
{
        Vhd *v = n->state;

        LOCKED(&v->writer->lock)
        {
                vhd_spare_add(v->writer, e->pos - v->bitmap_len);
        }
}

/* A sector of the BAT as it was when the flush began. */
typedef struct VhdBatSector {
        uint64_t index; /* of the sector */
        uint64_t count;
        be32 entries[VHD_BAT_SECTOR_ENTRIES];
} VhdBatSector;

/* Takes what has changed from the writer. Wants the lock. */
static int vhd_take_dirty(VhdWriter *w, VhdBatSector **ret, size_t *ret_count)
{
        size_t count = 0;
        VhdBatSector *sectors = calloc(w->dirty_count + 1, sizeof(*sectors));
        if (!sectors)
                return -ENOMEM;

        for (uint64_t i = 0; count < w->dirty_count; i++) {
                if (!w->dirty[i])
                        continue;
                VhdBatSector *s = &sectors[count++];
                uint64_t first = i * VHD_BAT_SECTOR_ENTRIES;
                s->index = i;
                s->count = u64_min(VHD_BAT_SECTOR_ENTRIES, w->bat_count - first);
                for (uint64_t k = 0; k < s->count; k++)
                        s->entries[k] = to_be32((uint32_t)atomic_load(&w->bat[first + k]));
                w->dirty[i] = 0;
        }
        w->dirty_count = 0;
        *ret = sectors;
        *ret_count = count;
        return 0;
}

/* Gives it back: what was not written is to be written with the next flush. Wants the lock. */
static void vhd_put_back_dirty(VhdWriter *w, const VhdBatSector *sectors, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                w->dirty_count += w->dirty[sectors[i].index] == 0;
                w->dirty[sectors[i].index] = 1;
        }
}

/* Takes the place out of the spare ones. False: it is not among them. Wants the lock. */
static bool vhd_spare_take(VhdWriter *w, uint64_t pos)
{
        for (size_t i = 0; i < w->spare_count; i++)
                if (w->spare[i] == pos) {
                        w->spare[i] = w->spare[--w->spare_count];
                        return true;
                }
        return false;
}

/* Places at the end of the file that nothing came of are given back to the host. Wants the lock. */
static int vhd_trim(Node *n)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;
        uint64_t end = w->end;
        int r = 0;

        while (vhd_spare_take(w, end - vhd_place_len(v)))
                end -= vhd_place_len(v);
        if (end == w->end)
                return 0;
        r = store_write(n->store, vhd_footer(v), VHD_FOOTER_LEN, end);
        if (r >= 0)
                r = store_set_size(n->store, end + VHD_FOOTER_LEN);
        if (r < 0) {
                for (; end < w->end; end += vhd_place_len(v))
                        vhd_spare_add(w, end);
                return r;
        }
        w->end = end;
        atomic_store_explicit(&v->file_end, end + VHD_FOOTER_LEN, memory_order_release);
        return 0;
}

int vhd_write_back(Node *n)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;
        _cleanup_free_ VhdBatSector *sectors = NULL;
        size_t count = 0;
        int r = 0;

        if (!w)
                return 0;
        LOCKED(&w->lock)
        {
                r = vhd_trim(n);
                if (r >= 0)
                        r = vhd_take_dirty(w, &sectors, &count);
        }
        if (r < 0 || count == 0)
                return r;
        /* What the entries point to. */
        r = node_sync(n);
        for (size_t i = 0; r >= 0 && i < count; i++)
                r = store_write(n->store, sectors[i].entries,
                                (size_t)sectors[i].count * sizeof(be32),
                                v->bat_pos + sectors[i].index * VHD_SECTOR);
        if (r < 0)
                LOCKED(&w->lock)
                {
                        vhd_put_back_dirty(w, sectors, count);
                }
        return r;
}

/* A block keeps its place: the format has no way to give one back. But the host gets the space of its data. */
int vhd_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        uint64_t at = off, end = off + len;

        while (at < end) {
                Extent e;
                int r = vhd_map(n, at, end - at, &e);
                if (r < 0)
                        return r;
                uint64_t part = u64_min(e.off + e.len, end) - at;
                if (e.kind == EXTENT_DATA)
                        r = store_punch(n->store, e.pos + (at - e.off), part);
                if (r < 0)
                        return r;
                at += part;
        }
        *ret_off = off;
        *ret_len = len;
        return 0;
}
