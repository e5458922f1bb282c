/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a range takes is given back to the host where it lies: the format has no account of free grains, so a grain keeps
 * its place and becomes a hole in the file. A grain of the parent's is covered by an entry that says zeroes, where the
 * header allows that.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>

/* Whole grains that show what is below become grains of zeroes: *ret_len, 0 where that cannot be. */
static int discard_below(Node *n, uint64_t off, uint64_t len, uint64_t *ret_len)
{
        Vmdk *v = n->state;
        VmdkExtent *x = (VmdkExtent *)vmdk_find_extent(v, off);
        uint64_t at = off - x->off, done = 0;
        int r = 0;

        *ret_len = 0;
        if (!x->zero_grains || !is_aligned(at, x->grain))
                return 0;
        /* The last grain may be shorter than others. */
        uint64_t end = u64_min(at + len, x->len);
        uint64_t whole = end == x->len ? end : round_down(end, x->grain);
        LOCKED(&v->writer->lock)
        {
                for (; r >= 0 && at < whole; at += x->grain) {
                        VmdkTablePlace t;
                        r = vmdk_own_table(n, x, at / vmdk_table_span(x), &t);
                        if (r >= 0)
                                r = vmdk_change_entries(
                                        n, x, &t,
                                        &(VmdkEntries){ .first = at % vmdk_table_span(x) / x->grain,
                                                        .count = 1,
                                                        .value = 1 });
                        if (r >= 0)
                                done += u64_min(x->grain, whole - at);
                }
        }
        *ret_len = done;
        return done > 0 ? 0 : r;
}

/* The beginning of the range: how much of it is done, 0 if it cannot be. */
static int discard_some(Node *n, uint64_t off, uint64_t len, uint64_t *ret_len)
{
        Extent e = { 0 };

        *ret_len = 0;
        int r = vmdk_make_room(n);
        if (r >= 0)
                r = vmdk_map(n, off, len, &e);
        if (r < 0)
                return r;
        uint64_t part = u64_min(len, e.len - (off - e.off));
        if (e.kind == EXTENT_BELOW && n->backing)
                return discard_below(n, off, part, ret_len);
        if (e.kind == EXTENT_DATA)
                r = store_punch(e.store, e.pos + (off - e.off), part);
        if (r < 0)
                return r == -EOPNOTSUPP ? 0 : r;
        *ret_len = part;
        return 0;
}

int vmdk_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        uint64_t done = 0, part = 1;

        int r = vmdk_prepare(n);
        while (r >= 0 && part > 0 && done < len) {
                r = discard_some(n, off + done, len - done, &part);
                done += r < 0 ? 0 : part;
        }
        if (r < 0)
                return r;
        *ret_off = off;
        *ret_len = done;
        return 0;
}
