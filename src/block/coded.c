/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Coded extents: unpacked into the cache of the chain, several of one request by several threads. */
#include "base/bits.h"
#include "block/cache.h"
#include "block/crew.h"
#include "block/limits.h"
#include "block/request.h"

#include <errno.h>
#include <string.h>

enum {
        /* Shorter extents need so little that nobody has to wait for it. */
        DECODE_FREE_LEN = 64 * 1024,
        /* A driver may need as much as twice the length to unpack from. */
        DECODE_COST = 3,

        /* So many extents are unpacked together: a request of 1 MiB has 16 or 17 of 64 KiB. */
        CODED_RUN_MAX = 32,
        /* So much read at a time is a stream. Less is done before another thread has woken up. */
        CODED_LONG = 128 * 1024,
};

typedef struct DecodeJob {
        Node *node;
        const Extent *extent;
} DecodeJob;

/* Only a few large extents are unpacked at one time: what each takes is its own length, and what it is unpacked from. */
static int node_decode(Node *n, const Extent *e, void *buf)
{
        uint64_t need = n->decode_cost;

        if (e->len > DECODE_FREE_LEN)
                need += DECODE_COST * e->len;
        if (need)
                cache_borrow(n->cache, need);
        int r = n->format->read_coded(n, e, buf);
        if (need)
                cache_give_back(n->cache, need);
        return r;
}

static int node_load_decoded(void *arg, const CacheKey *key, void *buf, size_t len)
{
        DecodeJob *job = arg;

        return node_decode(job->node, job->extent, buf);
}

/* `asked` is how much is read together. Whoever reads much gets whole extents at once, and leaves the cache to those that come
 * back: for the rest of an extent, or for what they often read. */
static int coded_read(Node *n, const Extent *e, void *buf, size_t len, uint64_t off, uint64_t asked)
{
        CacheKey key = { .owner = n, .kind = CACHE_DECODED, .at = e->cookie };
        DecodeJob job = { .node = n, .extent = e };
        CacheEntry *entry = NULL;

        if (e->len > LIMIT_CODED_LEN)
                return -EFBIG;
        if (len == e->len && asked >= CODED_LONG && cache_find(n->cache, &key, &entry) == 0)
                return node_decode(n, e, buf);
        if (!entry) {
                int r = cache_get(n->cache, &key, (size_t)e->len, node_load_decoded, &job, &entry);
                if (r < 0)
                        return r;
        }
        memcpy(buf, (uint8_t *)cache_entry_bytes(entry) + (off - e->off), len);
        cache_put(n->cache, entry);
        return 0;
}

int node_read_coded(Node *n, const Extent *e, void *buf, size_t len, uint64_t off)
{
        return coded_read(n, e, buf, len, off, len);
}

typedef struct CodedPiece {
        Extent extent;
        uint8_t *buf;
        size_t len;
        uint64_t off;
} CodedPiece;

typedef struct CodedRun {
        Node *node;
        uint64_t len;
        size_t count;
        CodedPiece pieces[CODED_RUN_MAX];
} CodedRun;

static int coded_read_piece(void *arg, size_t index)
{
        CodedRun *run = arg;
        CodedPiece *p = &run->pieces[index];

        return coded_read(run->node, &p->extent, p->buf, p->len, p->off, run->len);
}

/* Adds `e`, and the coded extents that follow it; gives how long they are together. What is of another kind, or fails, is met
 * by whoever reads on from there. */
static uint64_t coded_gather(
        CodedRun *run, const Extent *first, void *buf, size_t len, uint64_t off)
{
        uint64_t done = 0;
        Extent e = *first;
        uint64_t part = u64_min(len, e.len - (off - e.off));

        for (;;) {
                run->pieces[run->count++] =
                        (CodedPiece){ e, (uint8_t *)buf + done, (size_t)part, off + done };
                done += part;
                if (done == len || run->count == CODED_RUN_MAX ||
                    node_map(run->node, off + done, len - done, &e, &part) < 0 ||
                    e.kind != EXTENT_CODED)
                        return done;
        }
}

int node_read_coded_run(
        Node *n, const Extent *first, void *buf, size_t len, uint64_t off, uint64_t *ret_len)
{
        CodedRun run = { .node = n };
        int r = 0;

        run.len = coded_gather(&run, first, buf, len, off);
        *ret_len = run.len;
        if (run.len >= CODED_LONG)
                return crew_run(cache_crew(n->cache), run.count, coded_read_piece, &run);
        for (size_t i = 0; r >= 0 && i < run.count; i++)
                r = coded_read_piece(&run, i);
        return r;
}
