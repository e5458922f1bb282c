/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/map.h"

#include "base/bits.h"

#include <assert.h>
#include <errno.h>

#define MAP_SECTOR 512

uint64_t node_get_map_size(Node *n)
{
        return round_up(node_get_size(n), MAP_SECTOR);
}

/* An answer of one layer, which ends where the disk does, holds to the end of its last sector. `off` may lie in that sector,
 * past the end. */
static int map_layer(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        uint64_t end = round_up(n->size, MAP_SECTOR);
        uint64_t at = u64_min(off, n->size - 1);
        Extent e = { 0 };

        int r = n->format->map(n, at, u64_min(len, n->size - at), &e);
        if (r < 0)
                return r;
        assert(at >= e.off && at - e.off < e.len);
        if (e.len >= n->size - e.off)
                e.len = end - e.off;
        *ret = e;
        return 0;
}

/* What is stored may be stored in a hole of the file. */
static int map_look_into_file(const Extent *e, MapStretch *s)
{
        StoreRun run = { 0 };

        int r = store_find_run(e->store, s->pos, &run);
        if (r < 0)
                return r;
        s->is_hole = run.is_hole;
        s->len = u64_min(s->len, run.end - s->pos);
        return 0;
}

static int map_describe(const Extent *e, uint64_t len, MapStretch *s)
{
        uint64_t inside = s->off - e->off;

        s->len = u64_min(len, e->len - inside);
        s->present = e->kind != EXTENT_BELOW;
        s->is_data = e->kind == EXTENT_DATA || e->kind == EXTENT_CODED;
        if (e->kind == EXTENT_CODED || !e->store)
                return 0;
        s->store = e->store;
        s->pos = e->pos + inside;
        return e->kind == EXTENT_DATA && e->unproven ? map_look_into_file(e, s) : 0;
}

/* One layer: 1 it is the next one's to say, *len how far; 0 it has said. */
static int map_ask(Node *n, uint64_t *len, MapStretch *s)
{
        Extent e = { 0 };

        pthread_rwlock_rdlock(&n->layout);
        int r = map_layer(n, s->off, *len, &e);
        if (r >= 0 && e.kind == EXTENT_BELOW && n->backing) {
                *len = u64_min(*len, e.len - (s->off - e.off));
                r = 1;
        } else if (r >= 0) {
                s->node = n;
                r = map_describe(&e, *len, s);
        }
        pthread_rwlock_unlock(&n->layout);
        return r;
}

int node_map_chain(Node *n, uint64_t off, uint64_t len, MapStretch *ret)
{
        MapStretch s = { .off = off, .node = n };
        int r = map_ask(n, &len, &s);

        while (r == 1) {
                Node *below = n->backing;
                uint64_t end = node_get_map_size(below);
                if (off >= end) {
                        s.node = n;
                        s.len = len;
                        break;
                }
                len = u64_min(len, end - off);
                n = below;
                s.depth++;
                r = map_ask(n, &len, &s);
        }
        if (r < 0)
                return r;
        *ret = s;
        return 0;
}
