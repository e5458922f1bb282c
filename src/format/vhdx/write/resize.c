/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size of the disk: within what the BAT region has room for. Entries that a longer disk brings to light say "not
 * present" before its size does; a shorter one gives its blocks up after that.
 */
#include "base/bits.h"
#include "format/vhdx/write/writer.h"

#include <errno.h>

static int vhdx_size_set(Node *n, uint64_t size)
{
        const Vhdx *v = n->state;
        le64 raw = to_le64(size);

        return vhdx_page_change(n, v->size_pos, &raw, sizeof(raw));
}

/* Whatever the entries from `from` to before `to` hold, they do not hold any more. */
static int vhdx_clear_entries(Node *n, uint64_t from, uint64_t to)
{
        int r = 0;

        for (uint64_t index = from; index < to && r >= 0; index++) {
                uint64_t entry = 0;
                r = vhdx_get_entry(n, index, &entry);
                if (r >= 0 && entry != 0)
                        r = vhdx_entry_set(n, index, 0);
        }
        return r;
}

static int vhdx_grow(Node *n, uint64_t size)
{
        const Vhdx *v = n->state;

        int r = vhdx_clear_entries(n, vhdx_entry_count(v, n->size), vhdx_entry_count(v, size));
        return r < 0 ? r : vhdx_size_set(n, size);
}

static int vhdx_shrink(Node *n, uint64_t size)
{
        const Vhdx *v = n->state;
        uint64_t end = vhdx_block_count(v, n->size);

        int r = vhdx_size_set(n, size);
        for (uint64_t block = vhdx_block_count(v, size); block < end && r >= 0; block++)
                r = vhdx_block_clear(n, block, VHDX_NOT_PRESENT);
        return r;
}

int vhdx_resize(Node *n, uint64_t size)
{
        const Vhdx *v = n->state;
        uint64_t whole = round_up(size, UINT64_C(1) << v->sector_bits);

        if (whole == 0)
                return -EINVAL;
        /* An item that lies over the end of a page would change in two steps. */
        if (whole > VHDX_SIZE_MAX || v->size_pos % VHDX_PAGE > VHDX_PAGE - sizeof(le64))
                return -EFBIG;
        uint64_t len = vhdx_entry_count(v, whole) * sizeof(le64);
        if (len > v->bat.len || !in_range(v->bat.pos, len, v->file_size))
                return -EFBIG;
        int r = vhdx_prepare(n);
        if (r < 0)
                return r;
        return whole > n->size ? vhdx_grow(n, whole) : vhdx_shrink(n, whole);
}
