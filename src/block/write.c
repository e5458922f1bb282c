/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies in place is written over. Everything else goes under the range lock of the granules that it touches: ask
 * again where it lies, since someone may have been here; get a place; fill it, old contents around the new; publish
 * it. Neither a thread nor a crash can meet a place that is not filled.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/request.h"

#include <assert.h>
#include <errno.h>

enum {
        /* Old contents are copied in pieces of this size at most: a granule may have many megabytes. */
        COPY_MAX = 256 * 1024,

        /* What gets a place at once, unless a granule is larger. */
        PLACE_MAX = 2 * 1024 * 1024,
};

/* A piece of a request: what to write into [off, off + len). */
typedef struct Piece {
        Filling filling;
        const uint8_t *buf; /* FILL_BYTES: for off */
        uint64_t off, len;
} Piece;

static int node_write_place(const Extent *e, const Piece *p)
{
        uint64_t pos = e->pos + (p->off - e->off);
        return p->filling == FILL_BYTES ? store_write(e->store, p->buf, (size_t)p->len, pos)
                                        : store_zero(e->store, pos, p->len);
}

/* Copies what the guest sees at [off, off + len), all of which `old` speaks of, into the new place. */
static int node_copy_extent(
        Node *n, const Extent *old, const Extent *place, void *copy, uint64_t off, uint64_t len)
{
        while (len > 0) {
                size_t part = (size_t)u64_min(len, COPY_MAX);
                int r = node_read_extent(n, old, copy, part, off);
                if (r < 0)
                        return r;
                r = store_write(place->store, copy, part, place->pos + (off - place->off));
                if (r < 0)
                        return r;
                off += part;
                len -= part;
        }
        return 0;
}

/* Puts zeroes into a part of the new place, unless it has them. */
static int node_clear_place(const Extent *place, uint64_t off, uint64_t len)
{
        if (place->zeroed || len == 0)
                return 0;
        return store_zero(place->store, place->pos + (off - place->off), len);
}

/* The old contents of [off, off + len), which lies within the new place. */
static int node_copy_old(Node *n, const Extent *place, uint64_t off, uint64_t len)
{
        _cleanup_free_ void *copy = NULL;
        uint64_t inside = u64_min(len, n->size - u64_min(off, n->size));
        uint64_t end = off + inside;

        while (off < end) {
                Extent old;
                uint64_t part = 0, zeroes = 0;
                int r = node_map(n, off, end - off, &old, &part);
                if (r < 0)
                        return r;
                r = node_find_zeroes(n, &old, off, part, &zeroes);
                if (r < 0)
                        return r;
                if (zeroes > 0) {
                        part = zeroes;
                        r = node_clear_place(place, off, part);
                } else {
                        if (!copy)
                                copy = malloc((size_t)u64_min(place->len, COPY_MAX));
                        r = copy ? node_copy_extent(n, &old, place, copy, off, part) : -ENOMEM;
                }
                if (r < 0)
                        return r;
                off += part;
        }
        /* A granule may reach beyond the end of the disk: what a resize would bring to light is zero. */
        return node_clear_place(place, end, len - inside);
}

static int node_fill_place(Node *n, const Extent *place, const Piece *p)
{
        if (p->filling == FILL_SAME)
                return node_copy_old(n, place, place->off, place->len);

        uint64_t end = p->off + p->len;
        int r = node_copy_old(n, place, place->off, p->off - place->off);
        if (r < 0)
                return r;
        r = p->filling == FILL_ZEROES && place->zeroed ? 0 : node_write_place(place, p);
        if (r < 0)
                return r;
        return node_copy_old(n, place, end, place->off + place->len - end);
}

/* Puts the beginning of the piece into a new place: *ret_len of it, 0 when the driver wants to be asked again. */
static int node_write_new(Node *n, const Extent *old, const Piece *p, uint64_t *ret_len)
{
        Extent place = { 0 };
        Piece now = *p;

        *ret_len = 0;
        int r = n->format->alloc(n, p->off, p->len, &place);
        if (r < 0)
                return r == -EAGAIN ? 0 : r;
        assert(place.kind == EXTENT_DATA && place.off <= p->off);
        assert(p->off - place.off < place.len);

        now.len = u64_min(p->len, place.len - (p->off - place.off));
        r = node_fill_place(n, &place, &now);
        if (r >= 0)
                r = n->format->publish(n, &place);
        if (r < 0) {
                n->format->release(n, &place);
                return r;
        }
        if (old->kind == EXTENT_CODED)
                cache_drop(n->cache, &(CacheKey){ n, CACHE_DECODED, old->cookie });
        *ret_len = now.len;
        return 0;
}

/* May the piece be left as it is? Sets *ret_len to how much of it, from its beginning. */
static int node_find_settled(Node *n, const Extent *e, const Piece *p, uint64_t *ret_len)
{
        switch (p->filling) {
        case FILL_BYTES:
                *ret_len = 0;
                return 0;
        case FILL_ZEROES:
                return node_find_zeroes(n, e, p->off, p->len, ret_len);
        case FILL_SAME:
                *ret_len = e->kind == EXTENT_DATA && e->in_place ? p->len : 0;
                return 0;
        }
        return 0;
}

/* Where the beginning of the piece lies, in one answer of the driver: *ret_now is that part. 1: it may be left as
 * it is, *ret_len of it. 0: it has to be written. */
static int node_map_piece(Node *n, const Piece *p, Extent *ret, Piece *ret_now, uint64_t *ret_len)
{
        Piece now = *p;
        uint64_t settled = 0;

        int r = node_map(n, p->off, p->len, ret, &now.len);
        if (r < 0)
                return r;
        r = node_find_settled(n, ret, &now, &settled);
        if (r < 0)
                return r;
        *ret_now = now;
        if (settled == 0)
                return 0;
        *ret_len = settled;
        return 1;
}

/* How much of a piece that begins with `part` bytes of one kind is to get a place. Bytes go wherever nothing is in
 * place yet; of the rest, the next granule may need none. */
static uint64_t node_new_len(const Node *n, const Piece *p, uint64_t part)
{
        if (p->filling == FILL_BYTES)
                return p->len;
        return u64_min(p->len, multiple_up(p->off + part, n->granule) - p->off);
}

/* Writes the beginning of the piece, whose range lock is held. */
static int node_write_held(Node *n, const Piece *p, uint64_t *ret_len)
{
        Piece now;
        Extent e;
        int r = node_map_piece(n, p, &e, &now, ret_len);
        if (r != 0)
                return r < 0 ? r : 0;

        if (e.kind != EXTENT_DATA || !e.in_place) {
                now.len = node_new_len(n, p, now.len);
                return node_write_new(n, &e, &now, ret_len);
        }
        r = node_write_place(&e, &now);
        if (r < 0)
                return r;
        *ret_len = now.len;
        return 0;
}

static int node_write_locked_granules(Node *n, const Piece *p, uint64_t *ret_len)
{
        if (n->granule == 0 || !n->format->alloc)
                return -EROFS;

        uint64_t start = multiple_down(p->off, n->granule);
        uint64_t most = u64_max(n->granule, PLACE_MAX);
        Piece part = *p;
        part.len = u64_min(p->len, most - (p->off - start));

        RangeLockEntry entry;
        range_lock_take(&n->range_lock, &entry, start,
                        multiple_up(part.off + part.len, n->granule) - start);
        int r = node_write_held(n, &part, ret_len);
        range_lock_give(&n->range_lock, &entry);
        return r;
}

/* Writes the beginning of the piece: as much as one answer of the driver allows. */
static int node_write_some(Node *n, const Piece *p, uint64_t *ret_len)
{
        Piece now;
        Extent e;
        int r = node_map_piece(n, p, &e, &now, ret_len);
        if (r != 0)
                return r < 0 ? r : 0;
        if (e.kind != EXTENT_DATA || !e.in_place)
                return node_write_locked_granules(n, p, ret_len);

        r = node_write_place(&e, &now);
        if (r < 0)
                return r;
        *ret_len = now.len;
        return 0;
}

int node_fill_locked(Node *n, Filling filling, const void *buf, uint64_t len, uint64_t off)
{
        Piece p = { .filling = filling, .buf = buf, .off = off, .len = len };

        while (p.len > 0) {
                uint64_t done = 0;
                int r = node_write_some(n, &p, &done);
                if (r < 0)
                        return r;
                p.off += done;
                p.len -= done;
                if (p.buf)
                        p.buf += done;
        }
        return 0;
}

int node_write(Node *n, const void *buf, size_t len, uint64_t off)
{
        int r = node_may_write(n);
        if (r < 0)
                return r;

        pthread_rwlock_rdlock(&n->layout);
        r = in_range(off, len, n->size) ? node_fill_locked(n, FILL_BYTES, buf, len, off) : -ENOSPC;
        pthread_rwlock_unlock(&n->layout);
        return r;
}
