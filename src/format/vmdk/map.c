/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where guest bytes lie: the extent, and in a sparse one its directory → a table → an entry.
 *
 * Neighbours of one kind become one answer, so that a long read is few calls and large transfers; an answer never goes
 * beyond its extent. Damage is told only for the bytes that it hits: an answer ends before a damaged entry, and the next
 * map, which starts there, fails.
 */
#include "base/bits.h"
#include "format/vmdk/vmdk.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>

enum {
        /* How much one map looks at beyond the entry that it was asked for. */
        VMDK_MAP_TABLES = 16,
        VMDK_MAP_ABSENT_TABLES = 4096,
};

/* One run of map. Offsets count from the beginning of the VmdkExtent. */
typedef struct VmdkRun {
        const VmdkExtent *x;
        uint64_t at;   /* the next byte to look at */
        uint64_t end;  /* no need to look at this one or beyond */
        Extent extent; /* what there is so far; len 0: nothing yet */
        unsigned tables_left;
        unsigned absent_left;
        bool in_place; /* data may be written over */
} VmdkRun;

const VmdkExtent *vmdk_find_extent(const Vmdk *v, uint64_t off)
{
        size_t low = 0, high = v->extent_count;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;
                if (v->extents[middle].off <= off)
                        low = middle;
                else
                        high = middle;
        }
        return &v->extents[low];
}

/* Takes a piece that covers run->at; false when it is of another kind and ends the run. */
static bool run_add(VmdkRun *run, const Extent *piece)
{
        Extent *e = &run->extent;

        if (e->len == 0) {
                *e = *piece;
        } else {
                if (piece->kind != e->kind || e->kind == EXTENT_CODED)
                        return false;
                if (e->kind == EXTENT_DATA && piece->pos != e->pos + e->len)
                        return false;
                e->len += piece->len;
        }
        run->at = piece->off + piece->len;
        return true;
}

/* What a grain at `pos` is. A file that was cut off may end within it. */
static int grain_place(const VmdkRun *run, uint64_t pos, Extent *ret)
{
        const VmdkExtent *x = run->x;
        uint64_t end = vmdk_end(x);

        if (pos >= end)
                return -EIO;
        if (x->coded) {
                ret->kind = EXTENT_CODED;
                ret->len = u64_min(x->grain, x->len - ret->off);
                ret->pos = pos;
                ret->cookie = x->off + ret->off;
                return 0;
        }
        ret->kind = EXTENT_DATA;
        ret->len = u64_min(x->grain, end - pos);
        ret->store = x->store;
        ret->pos = pos;
        ret->in_place = run->in_place;
        return run->at - ret->off < ret->len ? 0 : -EIO;
}

static int grain_classify(const VmdkRun *run, uint64_t entry, Extent *ret)
{
        VmdkGrainKind kind = VMDK_GRAIN_NONE;
        uint64_t pos = 0;

        *ret = (Extent){ .off = round_down(run->at, run->x->grain), .len = run->x->grain };
        int r = vmdk_grain_find(run->x, entry, &kind, &pos);
        if (r < 0)
                return r;
        switch (kind) {
        case VMDK_GRAIN_NONE:
                ret->kind = EXTENT_BELOW;
                break;
        case VMDK_GRAIN_ZERO:
                ret->kind = EXTENT_HOLE;
                break;
        case VMDK_GRAIN_PLACE:
                return grain_place(run, pos, ret);
        }
        return 0;
}

/* Goes through the entries of a table, of which the first is for `base`: 1 go on behind them, 0 the run ends. */
static int run_entries(VmdkRun *run, const VmdkTable *t, uint64_t base)
{
        uint64_t end = u64_min(run->end, base + vmdk_table_span(run->x));

        while (run->at < end) {
                uint64_t index = (run->at - base) / run->x->grain;
                Extent piece;

                if (index >= t->held)
                        return -EIO;
                int r = grain_classify(run, vmdk_table_entry(run->x, t, index), &piece);
                if (r < 0)
                        return r;
                if (!run_add(run, &piece))
                        return 0;
        }
        return 1;
}

static int run_table(Node *n, VmdkRun *run, uint64_t pos)
{
        const Vmdk *v = n->state;
        uint64_t span = vmdk_table_span(run->x);
        VmdkTable table;

        if (run->tables_left-- == 0)
                return 0;
        int r = vmdk_table_get(n, run->x, pos, &table);
        if (r < 0)
                return r;
        vmdk_entries_lock(v->writer);
        r = run_entries(run, &table, run->at / span * span);
        vmdk_entries_unlock(v->writer);
        cache_put(n->cache, table.entry);
        return r;
}

/* Goes on by a table or an absent one: 1 go on, 0 the run ends. */
static int run_step(Node *n, VmdkRun *run)
{
        uint64_t span = vmdk_table_span(run->x), index = run->at / span, pos = 0;

        int r = vmdk_directory_get(n, run->x, index, &pos);
        if (r < 0)
                return r;
        if (pos != 0)
                return run_table(n, run, pos);
        if (run->absent_left-- == 0)
                return 0;
        return run_add(run, &(Extent){ .kind = EXTENT_BELOW, .off = index * span, .len = span });
}

static int map_sparse(Node *n, VmdkRun *run, Extent *ret)
{
        int r = 1;

        while (r == 1 && run->at < run->end)
                r = run_step(n, run);
        if (run->extent.len == 0)
                return r;
        *ret = run->extent;
        return 0;
}

/* A file that was cut off has the beginning of its stretch. */
static int map_flat(const VmdkRun *run, Extent *ret)
{
        const VmdkExtent *x = run->x;
        uint64_t end = vmdk_end(x);

        *ret = (Extent){
                .kind = EXTENT_DATA,
                .len = u64_min(x->len, end - u64_min(end, x->pos)),
                .store = x->store,
                .pos = x->pos,
                .in_place = run->in_place,
                .unproven = true,
        };
        return run->at < ret->len ? 0 : -EIO;
}

int vmdk_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Vmdk *v = n->state;
        const VmdkExtent *x = vmdk_find_extent(v, off);
        VmdkRun run = {
                .x = x,
                .at = off - x->off,
                .end = u64_min(off - x->off + len, x->len),
                .tables_left = VMDK_MAP_TABLES,
                .absent_left = VMDK_MAP_ABSENT_TABLES,
                .in_place = vmdk_writes_in_place(v->writer),
        };
        Extent e = { .kind = EXTENT_HOLE, .len = x->len };
        int r = 0;

        if (x->access == VMDK_NOACCESS || (!x->store && x->kind != VMDK_ZERO))
                return -EIO;
        if (x->kind == VMDK_FLAT)
                r = map_flat(&run, &e);
        else if (x->kind != VMDK_ZERO)
                r = map_sparse(n, &run, &e);
        if (r < 0)
                return r;
        e.len = u64_min(e.len, x->len - e.off);
        e.off += x->off;
        *ret = e;
        return 0;
}
