/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "block/request.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int node_map(Node *n, uint64_t off, uint64_t len, Extent *ret, uint64_t *ret_len)
{
        Extent e = { 0 };
        int r = n->format->map(n, off, len, &e);
        if (r < 0)
                return r;
        assert(off >= e.off && off - e.off < e.len);
        if (e.kind == EXTENT_DATA && !e.store)
                return -ENOKEY;
        *ret_len = u64_min(len, e.len - (off - e.off));
        *ret = e;
        return 0;
}

int node_read_extent(Node *n, const Extent *e, void *buf, size_t len, uint64_t off)
{
        switch (e->kind) {
        case EXTENT_HOLE:
                break;
        case EXTENT_BELOW:
                if (n->backing)
                        return node_read(n->backing, buf, len, off);
                break;
        case EXTENT_DATA:
                return store_read_padded(e->store, buf, len, e->pos + (off - e->off));
        case EXTENT_CODED:
                return node_read_coded(n, e, buf, len, off);
        }
        memset(buf, 0, len);
        return 0;
}

/* Reads the beginning of the range, as much as one answer of the driver covers, or several that
 * say it is coded. */
static int node_read_some(Node *n, void *buf, size_t len, uint64_t off, uint64_t *ret_len)
{
        for (;;) {
                uint64_t reuses = atomic_load(&n->reuses);
                Extent e;
                int r = node_map(n, off, len, &e, ret_len);
                if (r >= 0 && e.kind == EXTENT_CODED && *ret_len < len)
                        r = node_read_coded_run(n, &e, buf, len, off, ret_len);
                else if (r >= 0)
                        r = node_read_extent(n, &e, buf, (size_t)*ret_len, off);
                /* A writer may have put these bytes elsewhere, and others where they were: never twice without a
                 * whole flush in between. */
                if (atomic_load(&n->reuses) == reuses)
                        return r;
        }
}

int node_read_locked(Node *n, void *buf, size_t len, uint64_t off)
{
        uint8_t *to = buf;

        while (len > 0) {
                uint64_t part = 0;
                int r = node_read_some(n, to, len, off, &part);
                if (r < 0)
                        return r;
                to += part;
                off += part;
                len -= (size_t)part;
        }
        return 0;
}

/* A layer below another is never written to, resized or followed, so that nothing changes its layout: four layers would be
 * four locks that all threads write to. */
static void node_lock_for_reading(Node *n)
{
        if (!n->is_below)
                pthread_rwlock_rdlock(&n->layout);
}

static void node_unlock_for_reading(Node *n)
{
        if (!n->is_below)
                pthread_rwlock_unlock(&n->layout);
}

int node_read(Node *n, void *buf, size_t len, uint64_t off)
{
        node_lock_for_reading(n);
        size_t inside = (size_t)u64_min(len, n->size - u64_min(off, n->size));
        int r = node_read_locked(n, buf, inside, off);
        node_unlock_for_reading(n);
        if (r < 0)
                return r;

        if (inside < len)
                memset((uint8_t *)buf + inside, 0, len - inside);
        return 0;
}
