/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chunks of all blocks in one list, in the order of the disk. */
#include "base/bits.h"
#include "base/sort.h"
#include "block/cache.h"
#include "block/table.h"
#include "format/dmg/dmg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Two runs over the tables: how many chunks there are, then what they are. */
typedef struct DmgGathering {
        Dmg *dmg;
        uint64_t tables, count;
} DmgGathering;

/* Called for each chunk: where there is room for it, it is kept. */
static int dmg_gather(void *arg, DmgSource *table, Err *err)
{
        DmgGathering *g = arg;
        DmgBlock b;
        DmgChunk c;

        int r = dmg_block_begin(table, &b, err);
        if (r < 0)
                return r;
        g->tables++;
        while ((r = dmg_block_next(g->dmg, table, &b, &c, err)) == 1) {
                if (g->dmg->chunks)
                        g->dmg->chunks[g->count] = c;
                g->count++;
        }
        return r;
}

static int dmg_compare(const void *a, const void *b)
{
        const DmgChunk *one = a, *other = b;

        return one->sector < other->sector ? -1 : one->sector > other->sector;
}

static int dmg_sort(Dmg *d, Err *err)
{
        bool is_sorted = true;

        for (uint64_t i = 1; i < d->chunk_count && is_sorted; i++)
                is_sorted = d->chunks[i - 1].sector <= d->chunks[i].sector;
        if (!is_sorted)
                sort_in_place(d->chunks, d->chunk_count, sizeof(*d->chunks), dmg_compare);
        for (uint64_t i = 1; i < d->chunk_count; i++) {
                const DmgChunk *c = &d->chunks[i - 1];
                if (d->chunks[i].sector - c->sector < c->count)
                        return err_set(err, EBADMSG,
                                       "two chunks are for one place: that at sector %" PRIu64
                                       " has %" PRIu64 " sectors, and there is one at sector "
                                       "%" PRIu64,
                                       c->sector, c->count, d->chunks[i].sector);
        }
        return 0;
}

static int dmg_chunks_fill(Node *n, const DmgTables *tables, Err *err)
{
        Dmg *d = n->state;
        DmgGathering g = { .dmg = d };

        int r = dmg_tables_visit(tables, dmg_gather, &g, err);
        if (r < 0)
                return r;
        if (g.tables == 0)
                return err_set(err, EBADMSG, "the image has no table of any block");
        uint64_t len = g.count * sizeof(*d->chunks);
        r = table_reserve(n->cache, len, "table of chunks", err);
        if (r < 0)
                return r;
        d->reserved = len;
        d->chunks = calloc(g.count > 0 ? g.count : 1, sizeof(*d->chunks));
        if (!d->chunks)
                return err_set(err, ENOMEM, "table of chunks: %m");
        d->chunk_count = g.count;
        g = (DmgGathering){ .dmg = d };
        r = dmg_tables_visit(tables, dmg_gather, &g, err);
        return r < 0 ? r : dmg_sort(d, err);
}

int dmg_chunks_read(Node *n, Err *err)
{
        DmgTables tables = { 0 };

        int r = dmg_tables_read(n, &tables, err);
        if (r < 0)
                return r;
        r = dmg_chunks_fill(n, &tables, err);
        dmg_tables_done(n, &tables);
        return r;
}
