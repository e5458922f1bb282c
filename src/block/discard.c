/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that change what a range takes on the host. What of it lies past the end of the disk is left alone. */
#include "base/bits.h"
#include "block/request.h"

#include <errno.h>

/* Nobody reads while a driver discards, so it is asked for this much at a time. */
#define DISCARD_MAX (UINT64_C(1) << 30)

static uint64_t node_clamp_locked(Node *n, uint64_t off, uint64_t len)
{
        return u64_min(len, n->size - u64_min(off, n->size));
}

static int node_fill(Node *n, Filling filling, uint64_t off, uint64_t len)
{
        int r = node_may_write(n);
        if (r < 0)
                return r;

        pthread_rwlock_rdlock(&n->layout);
        r = node_fill_locked(n, filling, NULL, node_clamp_locked(n, off, len), off);
        pthread_rwlock_unlock(&n->layout);
        return r;
}

int node_zero(Node *n, uint64_t off, uint64_t len)
{
        return node_fill(n, FILL_ZEROES, off, len);
}

/* What the format gives back of [off, off + len); nothing where it cannot. */
static int node_discard_format(
        Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        uint64_t done_off = off, done_len = 0;
        int r = -EOPNOTSUPP;

        pthread_rwlock_wrlock(&n->layout);
        len = node_clamp_locked(n, off, len);
        if (n->format->discard && len > 0)
                r = n->format->discard(n, off, len, &done_off, &done_len);
        pthread_rwlock_unlock(&n->layout);
        if (r < 0 && r != -EOPNOTSUPP)
                return r;
        *ret_off = r < 0 ? off : done_off;
        *ret_len = r < 0 ? 0 : done_len;
        return 0;
}

static int node_discard_some(Node *n, uint64_t off, uint64_t len)
{
        uint64_t done_off = off, done_len = 0;

        int r = node_discard_format(n, off, len, &done_off, &done_len);
        if (r < 0)
                return r;

        /* The ragged ends, or everything: what the format did not give back is zeroed where it lies. */
        if (done_len == 0)
                return node_zero(n, off, len);
        r = node_zero(n, off, done_off - off);
        if (r < 0)
                return r;
        uint64_t done_end = done_off + done_len;
        return node_zero(n, done_end, len - (done_end - off));
}

int node_discard(Node *n, uint64_t off, uint64_t len)
{
        int r = node_may_write(n);
        uint64_t size = node_get_size(n);
        uint64_t end = off + u64_min(len, size - u64_min(off, size));

        while (r >= 0 && off < end) {
                uint64_t part = u64_min(end, round_down(off, DISCARD_MAX) + DISCARD_MAX) - off;
                r = node_discard_some(n, off, part);
                off += part;
        }
        return r < 0 ? r : 0;
}

/* Reserves the space of what lies in place already. */
static int node_allocate_locked(Node *n, uint64_t off, uint64_t len)
{
        while (len > 0) {
                Extent e;
                uint64_t part = 0;
                int r = node_map(n, off, len, &e, &part);
                if (r < 0)
                        return r;
                if (e.kind == EXTENT_DATA)
                        r = store_allocate(e.store, e.pos + (off - e.off), part);
                if (r < 0)
                        return r;
                off += part;
                len -= part;
        }
        return 0;
}

int node_allocate(Node *n, uint64_t off, uint64_t len)
{
        /* First everything gets a place of its own, then each place its space. */
        int r = node_fill(n, FILL_SAME, off, len);
        if (r < 0)
                return r;

        pthread_rwlock_rdlock(&n->layout);
        r = node_allocate_locked(n, off, node_clamp_locked(n, off, len));
        pthread_rwlock_unlock(&n->layout);
        return r;
}
