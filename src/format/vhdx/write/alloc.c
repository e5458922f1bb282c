/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places for blocks: free space within the file, or more at its end. A place that the BAT keeps for a block without data is
 * left alone: others may count on it, and it may hold anything.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/vhdx/write/writer.h"

#include <errno.h>

int vhdx_entry_set(Node *n, uint64_t index, uint64_t entry)
{
        const Vhdx *v = n->state;
        le64 raw = to_le64(entry);

        return vhdx_page_change(n, v->bat.pos + index * sizeof(raw), &raw, sizeof(raw));
}

/* Wants the lock. */
static int vhdx_place_new(Node *n, uint64_t count, Extent *place)
{
        const Vhdx *v = n->state;
        VhdxWriter *w = v->writer;
        uint64_t first = 0, end = w->space.count;

        place->zeroed = false;
        if (w->space.free >= count && vhdx_space_find(&w->space, w->cursor, count, &first)) {
                w->cursor = first + count;
        } else {
                /* What was never there reads as zeroes. */
                int r = store_set_size(n->store, (end + count) * VHDX_UNIT);
                /* A block device has the end that it has. */
                if (r == -EOPNOTSUPP)
                        r = -ENOSPC;
                if (r >= 0)
                        r = vhdx_space_grow(n, &w->space, end + count);
                if (r < 0)
                        return r;
                atomic_store(&w->file_end, (end + count) * VHDX_UNIT);
                first = w->cursor = end;
                place->zeroed = true;
        }
        (void)vhdx_space_take(&w->space, first, count);
        place->pos = first * VHDX_UNIT;
        return 0;
}

int vhdx_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Vhdx *v = n->state;
        uint64_t block = off >> v->block_bits, entry = 0;
        Extent place = {
                .kind = EXTENT_DATA,
                .off = block << v->block_bits,
                .len = vhdx_block_size(v),
                .store = n->store,
                .in_place = true,
        };

        int r = vhdx_prepare(n);
        if (r != 0)
                return r < 0 ? r : -EAGAIN;
        r = vhdx_get_entry(n, vhdx_entry_index(v, block), &entry);
        if (r < 0)
                return r;
        if ((entry & VHDX_ENTRY_STATE) == VHDX_FULLY_PRESENT)
                return -EAGAIN;
        LOCKED(&v->writer->lock)
        {
                r = vhdx_place_new(n, place.len / VHDX_UNIT, &place);
        }
        if (r >= 0)
                *ret = place;
        return r;
}

int vhdx_publish(Node *n, const Extent *e)
{
        const Vhdx *v = n->state;

        return vhdx_entry_set(n, vhdx_entry_index(v, e->off >> v->block_bits),
                              e->pos | VHDX_FULLY_PRESENT);
}

void vhdx_release(Node *n, const Extent *e)
{
        const Vhdx *v = n->state;

        LOCKED(&v->writer->lock)
        {
                vhdx_space_give(&v->writer->space, e->pos / VHDX_UNIT, e->len / VHDX_UNIT);
                v->writer->cursor = 0;
        }
}
