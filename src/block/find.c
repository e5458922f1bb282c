/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "block/limits.h"
#include "block/request.h"

#include <errno.h>

/* A stretch of guest bytes of one kind, as one answer of the drivers and the host describes it. */
typedef struct Stretch {
        bool is_hole;
        uint64_t len;
} Stretch;

static int node_find_stretch(Node *n, uint64_t off, uint64_t len, unsigned *steps, Stretch *ret);

/* A layer below, whose own lock is not held: past its end is a hole. */
static int node_find_below(Node *n, uint64_t off, uint64_t len, unsigned *steps, Stretch *ret)
{
        int r = 0;

        pthread_rwlock_rdlock(&n->layout);
        uint64_t inside = u64_min(len, n->size - u64_min(off, n->size));
        if (inside == 0)
                *ret = (Stretch){ .is_hole = true, .len = len };
        else
                r = node_find_stretch(n, off, inside, steps, ret);
        pthread_rwlock_unlock(&n->layout);
        return r;
}

/* Data that lies verbatim in a file may lie in a hole of the file. */
static int node_find_in_store(const Extent *e, uint64_t off, uint64_t len, Stretch *ret)
{
        uint64_t pos = e->pos + (off - e->off);
        StoreRun run = { 0 };

        int r = store_find_run(e->store, pos, &run);
        if (r < 0)
                return r;
        *ret = (Stretch){ .is_hole = run.is_hole, .len = u64_min(len, run.end - pos) };
        return 0;
}

static int node_find_in_extent(
        Node *n, const Extent *e, uint64_t off, uint64_t len, unsigned *steps, Stretch *ret)
{
        if (e->kind == EXTENT_BELOW && n->backing)
                return node_find_below(n->backing, off, len, steps, ret);
        if (e->kind == EXTENT_DATA)
                return node_find_in_store(e, off, len, ret);
        *ret = (Stretch){ .is_hole = e->kind != EXTENT_CODED, .len = len };
        return 0;
}

/* The stretch at `off`, at most `len` long. When *steps has run out, all of it is called data. */
static int node_find_stretch(Node *n, uint64_t off, uint64_t len, unsigned *steps, Stretch *ret)
{
        Extent e;
        uint64_t part = 0;

        if (*steps == 0) {
                *ret = (Stretch){ .is_hole = false, .len = len };
                return 0;
        }
        (*steps)--;
        int r = node_map(n, off, len, &e, &part);
        if (r < 0)
                return r;
        return node_find_in_extent(n, &e, off, part, steps, ret);
}

int node_find_zeroes(Node *n, const Extent *e, uint64_t off, uint64_t len, uint64_t *ret_len)
{
        unsigned steps = LIMIT_CHAIN_DEPTH;
        Stretch stretch = { 0 };

        if (e->kind == EXTENT_DATA) {
                *ret_len = 0;
                return 0;
        }
        int r = node_find_in_extent(n, e, off, len, &steps, &stretch);
        if (r < 0)
                return r;
        *ret_len = stretch.is_hole ? stretch.len : 0;
        return 0;
}

static int node_find_locked(Node *n, NodeFind what, uint64_t off, uint64_t *ret)
{
        unsigned steps = LIMIT_FIND_STEPS;

        if (off >= n->size)
                return -ENXIO;
        while (off < n->size) {
                Stretch stretch = { 0 };
                int r = node_find_stretch(n, off, n->size - off, &steps, &stretch);
                if (r < 0)
                        return r;
                if (stretch.is_hole == (what == NODE_FIND_HOLE)) {
                        *ret = off;
                        return 0;
                }
                off += stretch.len;
        }
        if (what == NODE_FIND_DATA)
                return -ENXIO;
        *ret = n->size;
        return 0;
}

int node_find(Node *n, NodeFind what, uint64_t off, uint64_t *ret)
{
        pthread_rwlock_rdlock(&n->layout);
        int r = node_find_locked(n, what, off, ret);
        pthread_rwlock_unlock(&n->layout);
        return r;
}
