/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeps guest data out of metadata. An image may be made so that an entry for guest data points at its header or at a
 * table: who writes to the disk would then write a header of his own, with a backing file of his choice.
 *
 * Every write in place asks here first, so the common case takes no lock and few instructions: a handful of ranges,
 * and two filters for the tables that lie anywhere. Where they say yes, the tables themselves are asked.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <stdlib.h>

enum {
        QCOW2_FILTER_BITS_EACH = 16,
        QCOW2_FILTER_PROBES = 4,
        QCOW2_FILTER_BITS_MIN = 32768,
        /* 4 MiB: with the most tables there can be, 8 bits for each. */
        QCOW2_FILTER_BITS_MAX = 1 << 25,
};

static uint64_t qcow2_filter_bits(uint64_t count)
{
        uint64_t bits = QCOW2_FILTER_BITS_MIN;

        while (bits / QCOW2_FILTER_BITS_EACH < count && bits < QCOW2_FILTER_BITS_MAX)
                bits *= 2;
        return bits;
}

uint64_t qcow2_filter_len(uint64_t count)
{
        return qcow2_filter_bits(count) / 8;
}

int qcow2_filter_init(Qcow2Filter *f, uint64_t count)
{
        uint64_t bits = qcow2_filter_bits(count);
        atomic_uint_fast64_t *words = calloc((size_t)(bits / 64), sizeof(*words));
        if (!words)
                return -ENOMEM;
        free(f->words);
        f->words = words;
        f->mask = bits - 1;
        return 0;
}

static uint64_t qcow2_filter_hash(uint64_t cluster)
{
        uint64_t x = (cluster + 1) * UINT64_C(0x9e3779b97f4a7c15);
        x ^= x >> 32;
        x *= UINT64_C(0xd6e8feb86659fd93);
        return x ^ x >> 29;
}

void qcow2_filter_add(Qcow2Filter *f, uint64_t cluster)
{
        uint64_t hash = qcow2_filter_hash(cluster), step = hash >> 32 | 1;

        for (unsigned i = 0; i < QCOW2_FILTER_PROBES; i++) {
                uint64_t bit = (hash + i * step) & f->mask;
                atomic_fetch_or_explicit(&f->words[bit / 64], UINT64_C(1) << bit % 64,
                                         memory_order_relaxed);
        }
}

static bool qcow2_filter_has(const Qcow2Filter *f, uint64_t cluster)
{
        uint64_t hash = qcow2_filter_hash(cluster), step = hash >> 32 | 1;

        for (unsigned i = 0; i < QCOW2_FILTER_PROBES; i++) {
                uint64_t bit = (hash + i * step) & f->mask;
                uint64_t word = atomic_load_explicit(&f->words[bit / 64], memory_order_relaxed);
                if (!(word >> bit % 64 & 1))
                        return false;
        }
        return true;
}

static bool ranges_overlap(uint64_t pos, uint64_t len, uint64_t other_pos, uint64_t other_len)
{
        return other_len > 0 && pos < other_pos + other_len && other_pos < pos + len;
}

static int qcow2_range_compare(const void *a, const void *b)
{
        const Qcow2Range *x = a, *y = b;
        return (x->pos > y->pos) - (x->pos < y->pos);
}

/* Makes the sorted ranges disjoint, so that one search finds any overlap. */
static void qcow2_ranges_join(Qcow2Guard *g)
{
        size_t count = 0;

        qsort(g->ranges, g->range_count, sizeof(*g->ranges), qcow2_range_compare);
        for (size_t i = 0; i < g->range_count; i++) {
                Qcow2Range *last = count ? &g->ranges[count - 1] : NULL;
                uint64_t end = g->ranges[i].pos + g->ranges[i].len;

                if (last && g->ranges[i].pos <= last->pos + last->len)
                        last->len = u64_max(last->pos + last->len, end) - last->pos;
                else
                        g->ranges[count++] = g->ranges[i];
        }
        g->range_count = count;
}

static bool qcow2_ranges_hit(const Qcow2Guard *g, uint64_t pos, uint64_t len)
{
        size_t low = 0, high = g->range_count;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (g->ranges[mid].pos + g->ranges[mid].len <= pos)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < g->range_count && g->ranges[low].pos < pos + len;
}

static bool qcow2_guard_hits_range(const Qcow2 *q, uint64_t pos)
{
        const Qcow2Guard *g = &q->writer->guard;
        uint64_t len = q->cluster_size;

        return qcow2_ranges_hit(g, pos, len) ||
               ranges_overlap(pos, len, atomic_load_explicit(&g->l1_pos, memory_order_relaxed),
                              atomic_load_explicit(&g->l1_len, memory_order_relaxed)) ||
               ranges_overlap(pos, len,
                              atomic_load_explicit(&g->refcount_table_pos, memory_order_relaxed),
                              atomic_load_explicit(&g->refcount_table_len, memory_order_relaxed));
}

bool qcow2_guard_suspects(const Qcow2 *q, uint64_t pos)
{
        const Qcow2Guard *g = &q->writer->guard;
        uint64_t cluster = pos >> q->header.cluster_bits;

        return qcow2_filter_has(&g->tables, cluster) || qcow2_filter_has(&g->blocks, cluster) ||
               qcow2_guard_hits_range(q, pos);
}

static bool qcow2_is_table(const Qcow2 *q, uint64_t pos)
{
        if (!qcow2_filter_has(&q->writer->guard.tables, pos >> q->header.cluster_bits))
                return false;
        for (uint64_t i = 0; i < q->l1_count; i++)
                if ((qcow2_l1_get(q, i) & QCOW2_ENTRY_POS) == pos)
                        return true;
        return false;
}

static bool qcow2_is_block(const Qcow2 *q, uint64_t pos)
{
        const Qcow2Writer *w = q->writer;

        if (!qcow2_filter_has(&w->guard.blocks, pos >> q->header.cluster_bits))
                return false;
        for (uint64_t i = 0; i < w->refcount_table_count; i++)
                if (w->refcount_table[i] == pos)
                        return true;
        return false;
}

bool qcow2_guard_hits(const Qcow2 *q, uint64_t pos)
{
        return qcow2_guard_hits_range(q, pos) || qcow2_is_table(q, pos) || qcow2_is_block(q, pos);
}

bool qcow2_guard_allows_table(const Qcow2 *q, uint64_t pos)
{
        return !qcow2_guard_hits_range(q, pos) && !qcow2_is_block(q, pos);
}

bool qcow2_guard_allows_block(const Qcow2 *q, uint64_t pos)
{
        return !qcow2_guard_hits_range(q, pos) && !qcow2_is_table(q, pos);
}

static int qcow2_guard_add(Qcow2Guard *g, size_t *room, uint64_t pos, uint64_t len)
{
        if (len == 0)
                return 0;
        if (g->range_count == *room) {
                *room = 2 * *room + 16;
                Qcow2Range *grown = reallocarray(g->ranges, *room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                g->ranges = grown;
        }
        g->ranges[g->range_count++] = (Qcow2Range){ pos, len };
        return 0;
}

static int qcow2_guard_add_snapshots(Node *n, size_t *room, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Guard *g = &q->writer->guard;
        Qcow2Cursor cursor = { 0 };

        for (;;) {
                _cleanup_snapshot_ Qcow2Snapshot s = { 0 };
                int r = qcow2_snapshot_next(n, &cursor, &s, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                if (s.l1_pos > INT64_MAX || s.l1_count > QCOW2_L1_COUNT_MAX)
                        return err_set(err, EBADMSG, "a snapshot's L1 table is out of bounds");
                r = qcow2_guard_add(g, room, s.l1_pos, s.l1_count * sizeof(be64));
                if (r < 0)
                        return err_set(err, -r, "%m");
        }
        int r = qcow2_guard_add(g, room, q->header.snapshots_pos, cursor.done);
        return r < 0 ? err_set(err, -r, "%m") : 0;
}

static int qcow2_guard_init_ranges(Node *n, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Guard *g = &q->writer->guard;
        size_t room = 0;

        int r = qcow2_guard_add(g, &room, 0, q->cluster_size);
        if (r >= 0)
                r = qcow2_guard_add(g, &room, q->bitmaps_pos, q->bitmap_count ? q->bitmaps_len : 0);
        if (r >= 0)
                r = qcow2_guard_add(g, &room, q->crypto_pos, q->crypto_len);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = qcow2_guard_add_snapshots(n, &room, err);
        if (r < 0)
                return r;
        qcow2_ranges_join(g);

        atomic_init(&g->l1_pos, q->writer->l1_pos);
        atomic_init(&g->l1_len, q->l1_count * sizeof(be64));
        atomic_init(&g->refcount_table_pos, q->writer->refcount_table_pos);
        atomic_init(&g->refcount_table_len, q->writer->refcount_table_count * sizeof(be64));
        return 0;
}

int qcow2_guard_init(Node *n, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        Qcow2Guard *g = &w->guard;

        int r = qcow2_guard_init_ranges(n, err);
        if (r < 0)
                return r;
        r = qcow2_filter_init(&g->tables, q->l1_count);
        if (r >= 0)
                r = qcow2_filter_init(&g->blocks, w->refcount_table_count);
        if (r < 0)
                return err_set(err, -r, "%m");
        for (uint64_t i = 0; i < q->l1_count; i++) {
                uint64_t pos = qcow2_l1_get(q, i) & QCOW2_ENTRY_POS;
                if (pos != 0)
                        qcow2_filter_add(&g->tables, pos >> q->header.cluster_bits);
        }
        for (uint64_t i = 0; i < w->refcount_table_count; i++)
                if (w->refcount_table[i] != 0)
                        qcow2_filter_add(&g->blocks,
                                         w->refcount_table[i] >> q->header.cluster_bits);
        return 0;
}

void qcow2_guard_move(atomic_uint_fast64_t *at_pos,
                      atomic_uint_fast64_t *at_len,
                      uint64_t pos,
                      uint64_t len)
{
        atomic_store(at_len, 0);
        atomic_store(at_pos, pos);
        atomic_store(at_len, len);
}

void qcow2_guard_done(Qcow2Guard *g)
{
        free(g->ranges);
        free(g->tables.words);
        free(g->blocks.words);
        *g = (Qcow2Guard){ 0 };
}
