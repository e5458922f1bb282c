/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole blocks become zero, and their places free. In a fixed disk they stay where they are, for block/ to fill with zeroes. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/vhdx/write/writer.h"

#include <errno.h>
#include <stdlib.h>

/* Wants the lock. */
static int vhdx_freed_add(VhdxWriter *w, uint64_t first, uint64_t count)
{
        VhdxRow *last = w->freed_count > 0 ? &w->freed[w->freed_count - 1] : NULL;

        if (last && last->first + last->count == first) {
                last->count += count;
                return 0;
        }
        if (w->freed_count == w->freed_room) {
                size_t room = w->freed_room ? 2 * w->freed_room : 64;
                VhdxRow *grown = reallocarray(w->freed, room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                w->freed = grown;
                w->freed_room = room;
        }
        w->freed[w->freed_count++] = (VhdxRow){ first, count };
        return 0;
}

int vhdx_block_clear(Node *n, uint64_t block, uint64_t state)
{
        const Vhdx *v = n->state;
        VhdxWriter *w = v->writer;
        uint64_t index = vhdx_entry_index(v, block), entry = 0;

        int r = vhdx_get_entry(n, index, &entry);
        if (r < 0)
                return r;
        bool present = (entry & VHDX_ENTRY_STATE) == VHDX_FULLY_PRESENT;
        if (entry == 0 || (!present && state != VHDX_NOT_PRESENT))
                return 0;
        if (w->freed_count >= VHDX_FREED_MAX) {
                r = vhdx_commit(n);
                if (r == 0)
                        r = node_sync(n);
                if (r < 0)
                        return r;
        }
        r = vhdx_entry_set(n, index, state);
        if (r < 0 || !present)
                return r;
        LOCKED(&w->lock)
        {
                r = vhdx_freed_add(w, (entry & VHDX_ENTRY_POS) / VHDX_UNIT,
                                   vhdx_block_size(v) / VHDX_UNIT);
        }
        return r;
}

int vhdx_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        const Vhdx *v = n->state;
        uint64_t size = vhdx_block_size(v), end = off + len;
        uint64_t first = round_up(off, size);
        /* Behind the end of the disk there is nothing to keep. */
        uint64_t last = end == n->size ? round_up(end, size) : round_down(end, size);

        *ret_len = 0;
        if (v->fixed || first >= last)
                return 0;
        int r = vhdx_prepare(n);
        for (uint64_t at = first; at < last && r >= 0; at += size)
                r = vhdx_block_clear(n, at >> v->block_bits, VHDX_ZERO);
        if (r < 0)
                return r;
        *ret_off = first;
        *ret_len = u64_min(last, end) - first;
        return 0;
}
