/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which host clusters are used, and how often. Counts are always kept exact, also in images that allow them to be
 * lazy: they are written together with what has to be written anyway, so being lazy would save no sync.
 *
 * A stretch of the file that has no refcount block yet gets one when the first cluster in it is wanted: that cluster
 * becomes the block, and counts itself.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* How many slices of refcount blocks a search for a free cluster looks at: 64 MiB of counts where clusters are
         * large, which is an image of 2 TiB with the usual ones. */
        QCOW2_SEARCH_SLICES = 16384,
};

/* Host positions have 56 bits; half of that leaves room for sums. */
#define QCOW2_HOST_END (UINT64_C(1) << 55)

/* One slice of a refcount block, in use: the counts of `count` clusters from `first` on. */
typedef struct Qcow2Counts {
        CacheEntry *entry;
        uint64_t pos;
        uint64_t first, count;
} Qcow2Counts;

/* log2 of how many clusters one refcount block counts. */
static uint32_t qcow2_block_bits(const Qcow2 *q)
{
        return q->header.cluster_bits + 3 - q->header.refcount_order;
}

static uint64_t qcow2_count_read(const Qcow2 *q, const Qcow2Counts *c, uint64_t cluster)
{
        const uint8_t *bytes = cache_entry_bytes(c->entry);
        uint64_t i = cluster - c->first;
        uint32_t order = q->header.refcount_order;
        uint64_t value = 0;

        if (order < 3) {
                /* Smaller than a byte: the first one in the lowest bits. */
                unsigned width = 1U << order, at = (unsigned)(i << order & 7);
                return bytes[i << order >> 3] >> at & ((1U << width) - 1);
        }
        size_t len = (size_t)1 << (order - 3);
        for (size_t k = 0; k < len; k++)
                value = value << 8 | bytes[i * len + k];
        return value;
}

static void qcow2_count_write(const Qcow2 *q,
                              const Qcow2Counts *c,
                              uint64_t cluster,
                              uint64_t value)
{
        uint8_t *bytes = cache_entry_bytes(c->entry);
        uint64_t i = cluster - c->first;
        uint32_t order = q->header.refcount_order;

        if (order < 3) {
                unsigned width = 1U << order, at = (unsigned)(i << order & 7);
                unsigned mask = ((1U << width) - 1) << at;
                uint8_t *byte = &bytes[i << order >> 3];
                *byte = (uint8_t)((*byte & ~mask) | (unsigned)value << at);
                return;
        }
        size_t len = (size_t)1 << (order - 3);
        for (size_t k = len; k-- > 0; value >>= 8)
                bytes[i * len + k] = (uint8_t)value;
}

static int qcow2_load_block(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

/* A block that was made just now holds nothing, and need not be read. */
static int qcow2_load_new_block(void *arg, const CacheKey *key, void *buf, size_t len)
{
        memset(buf, 0, len);
        return 0;
}

/* The slice that counts `cluster`, in use, whose block lies at `block`. */
static int qcow2_get_slice(
        Node *n, uint64_t block, uint64_t cluster, CacheLoad load, Qcow2Counts *ret)
{
        const Qcow2 *q = n->state;
        uint64_t in_block = cluster & ((UINT64_C(1) << qcow2_block_bits(q)) - 1);
        uint64_t count = (uint64_t)q->slice_len << 3 >> q->header.refcount_order;
        CacheKey key = {
                .owner = n,
                .kind = QCOW2_CACHE_BLOCK,
                .at = block + in_block / count * q->slice_len,
        };
        Qcow2Counts c = { .pos = key.at, .first = cluster - in_block % count, .count = count };

        int r = cache_get(n->cache, &key, q->slice_len, load, n->store, &c.entry);
        if (r < 0)
                return r;
        *ret = c;
        return 0;
}

/* The counts of `cluster` and its neighbours: 1, or 0 when no block counts them. */
static int qcow2_get_counts(Node *n, uint64_t cluster, Qcow2Counts *ret)
{
        const Qcow2 *q = n->state;
        const Qcow2Writer *w = q->writer;
        uint64_t index = cluster >> qcow2_block_bits(q);
        uint64_t block = index < w->refcount_table_count ? w->refcount_table[index] : 0;
        Qcow2Counts c = { 0 };

        if (block == 0)
                return 0;
        if (!is_aligned(block, q->cluster_size) || block >= QCOW2_HOST_END)
                return qcow2_mark_corrupt(n);
        int r = qcow2_get_slice(n, block, cluster, qcow2_load_block, &c);
        if (r < 0)
                return r;
        uint32_t *mark = cache_entry_mark(c.entry);
        if (!(*mark & QCOW2_MARK_CHECKED) && !qcow2_guard_allows_block(q, block)) {
                cache_put(n->cache, c.entry);
                return qcow2_mark_corrupt(n);
        }
        *mark |= QCOW2_MARK_CHECKED;
        *ret = c;
        return 1;
}

int qcow2_refcount_get(Node *n, uint64_t cluster, uint64_t *ret)
{
        Qcow2Counts c = { 0 };

        int r = qcow2_get_counts(n, cluster, &c);
        if (r < 0)
                return r;
        *ret = r == 0 ? 0 : qcow2_count_read(n->state, &c, cluster);
        if (r > 0)
                cache_put(n->cache, c.entry);
        return 0;
}

/* From here on the clusters up to `end` are no longer known to read as zeroes. The file gets as long as that now,
 * before anybody knows the place: later it could only be done by cutting off what others write meanwhile. */
static int qcow2_use_file(Node *n, uint64_t end)
{
        const Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        if (end <= atomic_load_explicit(&w->file_end, memory_order_relaxed))
                return 0;
        int r = store_set_size(n->store, end);
        if (r < 0)
                return r == -EOPNOTSUPP ? -ENOSPC : r;
        atomic_store_explicit(&w->file_end, end, memory_order_release);
        return 0;
}

/* Counts as many of `want` clusters from `first` on as are free and counted by this slice: how many. */
static int qcow2_take_from(Node *n, Qcow2Counts *c, uint64_t first, uint64_t want, uint64_t *ret)
{
        Qcow2 *q = n->state;
        uint64_t end = u64_min(first + want, c->first + c->count);
        uint64_t count = 0;

        while (first + count < end && qcow2_count_read(q, c, first + count) == 0) {
                /* Used without being counted: whoever went on writing would destroy it. */
                if (qcow2_guard_hits(q, (first + count) << q->header.cluster_bits))
                        return qcow2_mark_corrupt(n);
                qcow2_count_write(q, c, first + count, 1);
                count++;
        }
        *ret = count;
        return 0;
}

/* Takes what is free of `want` clusters from `first` on, all of which have a block. */
static int qcow2_take_at(Node *n, uint64_t first, uint64_t want, uint64_t *ret_count)
{
        Qcow2 *q = n->state;
        uint64_t done = 0, part = 1;

        while (done < want && part > 0) {
                Qcow2Counts c = { 0 };
                part = 0;
                int r = qcow2_get_counts(n, first + done, &c);
                if (r > 0) {
                        r = qcow2_take_from(n, &c, first + done, want - done, &part);
                        int k = qcow2_slice_keep(n, &q->writer->blocks, c.entry, c.pos);
                        r = r < 0 ? r : k;
                }
                /* Fewer than wanted are fine. */
                if (r < 0 && done == 0)
                        return r;
                done += part;
        }
        *ret_count = done;
        return 0;
}

int qcow2_note_new_block(Qcow2Writer *w, uint64_t index)
{
        if (w->new_block_count == w->new_block_room) {
                size_t room = 2 * w->new_block_room + 16;
                uint64_t *grown = reallocarray(w->new_blocks, room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                w->new_blocks = grown;
                w->new_block_room = room;
        }
        w->new_blocks[w->new_block_count++] = index;
        return 0;
}

/* Counts `count` clusters from `first` on as used in blocks that were made just now. */
static int qcow2_count_new(Node *n, uint64_t first, uint64_t count)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        for (uint64_t cluster = first; cluster < first + count;) {
                Qcow2Counts c = { 0 };
                uint64_t block = w->refcount_table[cluster >> qcow2_block_bits(q)];
                int r = qcow2_get_slice(n, block, cluster, qcow2_load_new_block, &c);
                if (r < 0)
                        return r;
                *cache_entry_mark(c.entry) |= QCOW2_MARK_CHECKED;
                for (; cluster < u64_min(first + count, c.first + c.count); cluster++)
                        qcow2_count_write(q, &c, cluster, 1);
                r = qcow2_slice_keep(n, &w->blocks, c.entry, c.pos);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the cache knows of the cluster was true of what lay there before. */
static void qcow2_forget_slices(Node *n, uint64_t pos)
{
        const Qcow2 *q = n->state;

        for (uint64_t at = pos; at < pos + q->cluster_size; at += q->slice_len) {
                cache_drop(n->cache, &(CacheKey){ n, QCOW2_CACHE_BLOCK, at });
                cache_drop(n->cache, &(CacheKey){ n, QCOW2_CACHE_L2, at });
        }
}

int qcow2_clear_cluster(Node *n, uint64_t pos, bool zeroed)
{
        const Qcow2 *q = n->state;

        qcow2_forget_slices(n, pos);
        return zeroed ? 0 : store_zero(n->store, pos, q->cluster_size);
}

/* Makes a free cluster the block that counts it and its neighbours. */
static int qcow2_make_block(Node *n, uint64_t cluster)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t index = cluster >> qcow2_block_bits(q), pos = cluster << q->header.cluster_bits;
        bool zeroed = pos >= atomic_load(&w->file_end);

        if (qcow2_guard_hits(q, pos))
                return qcow2_mark_corrupt(n);
        int r = qcow2_use_file(n, pos + q->cluster_size);
        if (r >= 0)
                r = qcow2_clear_cluster(n, pos, zeroed);
        if (r < 0)
                return r;
        r = qcow2_note_new_block(w, index);
        if (r < 0)
                return r;
        w->refcount_table[index] = pos;
        r = qcow2_count_new(n, cluster, 1);
        if (r < 0) {
                w->refcount_table[index] = 0;
                w->new_block_count--;
                return r;
        }
        qcow2_filter_add(&w->guard.blocks, cluster);
        return 0;
}

/* Clusters in a row past the end of all that is used or counted, described by blocks at their own beginning. */
typedef struct Qcow2Area {
        uint64_t first;  /* the first that a block counts */
        uint64_t blocks; /* how many of them are blocks */
        uint64_t count;  /* all of them */
} Qcow2Area;

static void qcow2_area_plan(const Qcow2 *q, uint64_t payload, Qcow2Area *ret)
{
        const Qcow2Writer *w = q->writer;
        uint32_t bits = qcow2_block_bits(q);
        uint64_t used = div_round_up(atomic_load(&w->file_end), q->cluster_size);
        uint64_t index = w->refcount_table_count;
        uint64_t blocks = 1;

        while (index > 0 && w->refcount_table[index - 1] == 0)
                index--;
        index = u64_max(index, div_round_up(used, UINT64_C(1) << bits));
        while ((blocks << bits) < payload + blocks)
                blocks++;
        *ret = (Qcow2Area){ index << bits, blocks, payload + blocks };
}

/* Takes the area into use. Its blocks have entries in the table already. Only memory can fail it, and then nothing
 * may be written any more, since part of it is counted. */
static int qcow2_area_use(Node *n, const Qcow2Area *a)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t index = a->first >> qcow2_block_bits(q);

        int r = qcow2_use_file(n, (a->first + a->count) << q->header.cluster_bits);
        if (r < 0)
                return r;
        for (uint64_t i = 0; i < a->count; i++)
                qcow2_forget_slices(n, (a->first + i) << q->header.cluster_bits);
        for (uint64_t i = 0; i < a->blocks && r >= 0; i++) {
                w->refcount_table[index + i] = (a->first + i) << q->header.cluster_bits;
                qcow2_filter_add(&w->guard.blocks, a->first + i);
                r = qcow2_note_new_block(w, index + i);
        }
        if (r >= 0)
                r = qcow2_count_new(n, a->first, a->count);
        if (r < 0)
                atomic_store(&n->broken, true);
        return r;
}

/* How many clusters a table of at least `count` entries takes, grown generously so that it is seldom. */
static uint64_t qcow2_table_clusters(const Qcow2 *q, uint64_t count)
{
        uint64_t old = q->writer->refcount_table_count;

        return div_round_up(u64_max(count, old + old / 2) * sizeof(be64), q->cluster_size);
}

/* Moves the refcount table to a longer place, with at least `count` entries. */
static int qcow2_grow_table(Node *n, uint64_t count)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t old_len = w->refcount_table_count * sizeof(be64);
        uint64_t clusters = qcow2_table_clusters(q, count);
        Qcow2Area a;

        /* Its own blocks have to have entries in it. */
        for (;;) {
                qcow2_area_plan(q, clusters, &a);
                uint64_t need = (a.first >> qcow2_block_bits(q)) + a.blocks;
                uint64_t grown = qcow2_table_clusters(q, u64_max(count, need));
                if (clusters * q->cluster_size > QCOW2_REFCOUNT_TABLE_LEN_MAX)
                        return -ENOSPC;
                if (grown <= clusters)
                        break;
                clusters = grown;
        }
        if ((a.first + a.count) << q->header.cluster_bits >= QCOW2_HOST_END)
                return -ENOSPC;
        int r = qcow2_row_reserve(&w->freed, 1);
        if (r < 0)
                return r;
        /* Whatever comes of it, the place does not read as zeroes any more. */
        uint64_t *table = NULL;
        r = qcow2_use_file(n, (a.first + a.count) << q->header.cluster_bits);
        if (r >= 0)
                r = qcow2_copy_refcount_table(
                        n, clusters, (a.first + a.blocks) << q->header.cluster_bits, &table);
        if (r < 0)
                return r;
        qcow2_release_memory(n, old_len);
        free(w->refcount_table);
        w->refcount_table = table;
        w->refcount_table_count = clusters << (q->header.cluster_bits - 3);

        r = qcow2_area_use(n, &a);
        if (r < 0)
                return r;
        (void)qcow2_row_add(&w->freed, w->refcount_table_pos >> q->header.cluster_bits,
                            old_len >> q->header.cluster_bits, false);
        w->refcount_table_pos = (a.first + a.blocks) << q->header.cluster_bits;
        w->refcount_table_moved = true;
        qcow2_guard_move(&w->guard.refcount_table_pos, &w->guard.refcount_table_len,
                         w->refcount_table_pos, clusters * q->cluster_size);
        return 0;
}

int qcow2_take_row(Node *n, uint64_t count, uint64_t *ret_first)
{
        Qcow2 *q = n->state;
        Qcow2Area a;

        for (;;) {
                qcow2_area_plan(q, count, &a);
                uint64_t need = (a.first >> qcow2_block_bits(q)) + a.blocks;
                if (need <= q->writer->refcount_table_count)
                        break;
                int r = qcow2_grow_table(n, need);
                if (r < 0)
                        return r;
        }
        int r = qcow2_area_use(n, &a);
        if (r < 0)
                return r;
        *ret_first = a.first + a.blocks;
        return 0;
}

/* Takes from what was given up earlier: *ret_count is 0 when there is nothing. */
static int qcow2_take_reusable(Node *n, uint64_t want, uint64_t *ret_first, uint64_t *ret_count)
{
        Qcow2 *q = n->state;
        Qcow2RowList *list = &q->writer->reusable;

        *ret_count = 0;
        while (list->count > 0) {
                Qcow2Row *row = &list->rows[list->count - 1];
                uint64_t done = 0;
                int r = qcow2_take_at(n, row->first, u64_min(want, row->count), &done);
                if (r < 0)
                        return r;
                *ret_first = row->first;
                /* A cluster that is in use again is left out. */
                uint64_t past = u64_max(done, 1);
                row->first += past;
                row->count -= past;
                if (row->count == 0)
                        list->count--;
                if (done > 0) {
                        *ret_count = done;
                        return 0;
                }
        }
        return 0;
}

/* Makes *cursor a free cluster that a block counts, if there is one in what the slice at *cursor counts, else goes on
 * behind it. 1: it is one. */
static int qcow2_find_free_step(Node *n, uint64_t *cursor)
{
        Qcow2 *q = n->state;
        uint64_t index = *cursor >> qcow2_block_bits(q);
        Qcow2Counts c = { 0 };

        if (*cursor << q->header.cluster_bits >= QCOW2_HOST_END)
                return -ENOSPC;
        int r = qcow2_get_counts(n, *cursor, &c);
        if (r < 0)
                return r;
        if (r == 0)
                return index < q->writer->refcount_table_count ? qcow2_make_block(n, *cursor)
                                                               : qcow2_grow_table(n, index + 1);
        uint64_t end = c.first + c.count;
        while (*cursor < end && qcow2_count_read(q, &c, *cursor) != 0)
                (*cursor)++;
        cache_put(n->cache, c.entry);
        return *cursor < end;
}

/* The next free cluster from *cursor on. An image could make this search go on for ever, with a sparse file and one
 * block for all of it; so it does not go far, but on to the end of the file. */
static int qcow2_find_free(Node *n, uint64_t *cursor)
{
        Qcow2 *q = n->state;
        int r = 0;

        for (unsigned left = QCOW2_SEARCH_SLICES; left > 0 && r == 0; left--)
                r = qcow2_find_free_step(n, cursor);
        if (r != 0)
                return r;
        uint64_t end = atomic_load(&q->writer->file_end) >> q->header.cluster_bits;
        if (*cursor >= end)
                return -ENOSPC;
        *cursor = end;
        for (unsigned left = QCOW2_SEARCH_SLICES; left > 0 && r == 0; left--)
                r = qcow2_find_free_step(n, cursor);
        return r == 0 ? -ENOSPC : r;
}

int qcow2_take(Node *n, uint64_t want, uint64_t *ret_first, uint64_t *ret_count, bool *ret_zeroed)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t first = 0, count = 0;

        int r = qcow2_take_reusable(n, want, &first, &count);
        if (r < 0)
                return r;
        while (count == 0) {
                r = qcow2_find_free(n, &w->cursor);
                if (r < 0)
                        return r;
                /* A row is zeroes as a whole or not at all. */
                uint64_t end = atomic_load(&w->file_end) >> q->header.cluster_bits;
                first = w->cursor;
                r = qcow2_take_at(n, first, first < end ? u64_min(want, end - first) : want,
                                  &count);
                if (r < 0)
                        return r;
                w->cursor += count;
        }
        bool zeroed = first << q->header.cluster_bits >= atomic_load(&w->file_end);
        r = qcow2_use_file(n, (first + count) << q->header.cluster_bits);
        if (r < 0) {
                Qcow2Row row = { first, count, false };
                (void)qcow2_refcount_drop(n, &row);
                return r;
        }
        *ret_first = first;
        *ret_count = count;
        *ret_zeroed = zeroed;
        return 0;
}

/* Room for these in the list of what is free, or the search comes by again. */
static void qcow2_reuse(Qcow2Writer *w, uint64_t first, uint64_t count)
{
        if (w->reusable.count >= QCOW2_REUSABLE_COUNT_MAX ||
            qcow2_row_add(&w->reusable, first, count, false) < 0)
                w->cursor = u64_min(w->cursor, first);
}

/* One less for each cluster of the row up to `end`, all of which the slice counts. */
static int qcow2_drop_counts(Node *n, Qcow2Counts *c, const Qcow2Row *row, uint64_t end)
{
        Qcow2 *q = n->state;

        for (uint64_t k = row->first; k < end; k++) {
                uint64_t count = qcow2_count_read(q, c, k), pos = k << q->header.cluster_bits;
                if (count == 1 && qcow2_guard_suspects(q, pos) && qcow2_guard_hits(q, pos))
                        return qcow2_mark_corrupt(n);
                if (count > 0)
                        qcow2_count_write(q, c, k, count - 1);
                if (count != 1)
                        continue;
                if (row->punch)
                        (void)store_punch(n->store, pos, q->cluster_size);
                qcow2_reuse(q->writer, k, 1);
        }
        return 0;
}

int qcow2_refcount_drop(Node *n, Qcow2Row *row)
{
        Qcow2 *q = n->state;

        while (row->count > 0) {
                Qcow2Counts c = { 0 };
                int r = qcow2_get_counts(n, row->first, &c);
                if (r < 0)
                        return r;
                uint64_t end = row->first + row->count;
                if (r == 0) {
                        /* Never counted: nothing to take back, up to the next block. */
                        uint64_t step = UINT64_C(1) << qcow2_block_bits(q);
                        end = u64_min(end, round_down(row->first, step) + step);
                } else {
                        end = u64_min(end, c.first + c.count);
                        int k = qcow2_drop_counts(n, &c, row, end);
                        r = qcow2_slice_keep(n, &q->writer->blocks, c.entry, c.pos);
                        if (r < 0 || k < 0)
                                return r < 0 ? r : k;
                }
                row->count -= end - row->first;
                row->first = end;
        }
        return 0;
}
