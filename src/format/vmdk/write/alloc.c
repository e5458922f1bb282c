/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Places for grains: behind the end of the file, as many in a row as are asked for and one table has. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>

/* Which grains of an extent, in numbers of one table. */
typedef struct VmdkGrains {
        VmdkExtent *x;
        uint64_t table; /* index in the directory */
        uint64_t first, count;
} VmdkGrains;

/* The grains of [off, off + len), as far as they are of one table. */
static VmdkGrains grains_of(Node *n, uint64_t off, uint64_t len)
{
        Vmdk *v = n->state;
        VmdkExtent *x = (VmdkExtent *)vmdk_find_extent(v, off);
        uint64_t at = off - x->off, span = vmdk_table_span(x);
        uint64_t end = u64_min(u64_min(at + len, x->len), at / span * span + span);

        return (VmdkGrains){
                .x = x,
                .table = at / span,
                .first = at % span / x->grain,
                .count = div_round_up(end, x->grain) - at / x->grain,
        };
}

/* How many of them have no place yet, from the first on. */
static int grains_count_new(Node *n, VmdkGrains *g, uint64_t table_pos)
{
        VmdkTable table;
        uint64_t count = 0;

        int r = vmdk_table_get(n, g->x, table_pos, &table);
        if (r < 0)
                return r;
        while (count < g->count && g->first + count < table.held && r >= 0) {
                VmdkGrainKind kind = VMDK_GRAIN_NONE;
                uint64_t pos = 0;

                r = vmdk_grain_find(g->x, vmdk_table_entry(g->x, &table, g->first + count), &kind,
                                    &pos);
                if (kind == VMDK_GRAIN_PLACE)
                        break;
                count++;
        }
        cache_put(n->cache, table.entry);
        if (r < 0)
                return r;
        g->count = count;
        return count > 0 ? 0 : -EAGAIN;
}

static int alloc_locked(Node *n, VmdkGrains *g, uint64_t *ret_pos)
{
        VmdkTablePlace t;

        int r = vmdk_own_table(n, g->x, g->table, &t);
        if (r >= 0)
                r = grains_count_new(n, g, t.pos);
        return r < 0 ? r : vmdk_extend(g->x, g->count * g->x->grain, g->x->grain, ret_pos);
}

int vmdk_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Vmdk *v = n->state;
        VmdkWriter *w = v->writer;
        uint64_t pos = 0;

        int r = vmdk_prepare(n);
        if (r != 0)
                return r < 0 ? r : -EAGAIN;
        /* What is in place is so from now on. */
        if (!vmdk_is_sparse(vmdk_find_extent(v, off)))
                return -EAGAIN;
        VmdkGrains g = grains_of(n, off, len);
        r = vmdk_make_room(n);
        if (r < 0)
                return r;
        LOCKED(&w->lock)
        {
                r = alloc_locked(n, &g, &pos);
        }
        if (r < 0)
                return r;
        /* The last grain of an extent may be longer than what there is of the disk. */
        uint64_t at = g.table * vmdk_table_span(g.x) + g.first * g.x->grain;
        *ret = (Extent){
                .kind = EXTENT_DATA,
                .off = g.x->off + at,
                .len = u64_min(g.count * g.x->grain, g.x->len - at),
                .store = g.x->store,
                .pos = pos,
                .in_place = true,
                .zeroed = true,
        };
        return 0;
}

static int publish_locked(Node *n, const Extent *e)
{
        VmdkGrains g = grains_of(n, e->off, e->len);
        VmdkTablePlace t;

        int r = vmdk_own_table(n, g.x, g.table, &t);
        if (r < 0)
                return r;
        return vmdk_change_entries(n, g.x, &t,
                                   &(VmdkEntries){
                                           .first = g.first,
                                           .count = g.count,
                                           .value = (uint32_t)(e->pos / VMDK_SECTOR),
                                           .step = (uint32_t)(g.x->grain / VMDK_SECTOR),
                                   });
}

int vmdk_publish(Node *n, const Extent *e)
{
        VmdkWriter *w = ((Vmdk *)n->state)->writer;
        int r = 0;

        LOCKED(&w->lock)
        {
                r = publish_locked(n, e);
        }
        return r;
}

/* What lies at the end of the file is cut off again; what others have got a place behind is lost. */
void vmdk_release(Node *n, const Extent *e)
{
        VmdkWriter *w = ((Vmdk *)n->state)->writer;
        VmdkGrains g = grains_of(n, e->off, e->len);

        LOCKED(&w->lock)
        {
                if (e->pos + g.count * g.x->grain == vmdk_end(g.x) &&
                    store_set_size(g.x->store, e->pos) >= 0)
                        atomic_store_explicit(&g.x->end, e->pos, memory_order_release);
        }
}
