/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* L2 tables that may be written to, and the giving up of what their entries refer to. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <stdlib.h>

enum {
        /* Entries that are written at a time. */
        QCOW2_PIECE_COUNT = 4096,
};

int qcow2_write_entries(
        Node *n, uint64_t pos, uint64_t from, uint64_t count, Qcow2GetEntry *get, const void *table)
{
        _cleanup_free_ be64 *piece = malloc(QCOW2_PIECE_COUNT * sizeof(*piece));
        if (!piece)
                return -ENOMEM;

        while (from < count) {
                size_t part = (size_t)u64_min(count - from, QCOW2_PIECE_COUNT);
                for (size_t i = 0; i < part; i++)
                        piece[i] = to_be64(get(table, from + i));
                int r = store_write(n->store, piece, part * sizeof(*piece),
                                    pos + from * sizeof(*piece));
                if (r < 0)
                        return r;
                from += part;
        }
        return 0;
}

/* Wants the lock. */
static void qcow2_l1_set(Qcow2 *q, uint64_t index, uint64_t entry)
{
        Qcow2Writer *w = q->writer;
        uint8_t *dirty = &w->l1_dirty[index / QCOW2_L1_SECTOR_ENTRIES];

        atomic_store_explicit(&q->l1[index], entry, memory_order_release);
        if (!*dirty)
                w->l1_dirty_count++;
        *dirty = 1;
}

void qcow2_l1_clear(Node *n, uint64_t index)
{
        qcow2_l1_set(n->state, index, 0);
}

/* Copies a table that a snapshot shares. What its entries refer to is shared too, so none of it may be written over:
 * in the copy no entry has COPIED, whatever it had. */
static int qcow2_copy_table(Node *n, uint64_t from, uint64_t to)
{
        Qcow2 *q = n->state;
        _cleanup_free_ be64 *table = malloc((size_t)q->cluster_size);
        if (!table)
                return -ENOMEM;

        int r = store_read_padded(n->store, table, (size_t)q->cluster_size, from);
        if (r < 0)
                return r;
        size_t step = (size_t)1 << (q->entry_bits - 3);
        for (size_t i = 0; i < q->cluster_size / sizeof(*table); i += step)
                if (!qcow2_has_data_file(&q->header))
                        table[i] = to_be64(from_be64(table[i]) & ~QCOW2_ENTRY_COPIED);
        return store_write(n->store, table, (size_t)q->cluster_size, to);
}

/* A new place for the table of the L1 entry `index`, which has none or a shared one. */
static int qcow2_new_table(Node *n, uint64_t index, uint64_t old, uint64_t *ret_pos)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t first = 0, count = 0;
        bool zeroed = false;

        int r = qcow2_row_reserve(&w->freed, 1);
        if (r < 0)
                return r;
        r = qcow2_take(n, 1, &first, &count, &zeroed);
        if (r < 0)
                return r;
        uint64_t pos = first << q->header.cluster_bits;
        r = qcow2_clear_cluster(n, pos, zeroed || old != 0);
        if (r >= 0 && old != 0)
                r = qcow2_copy_table(n, old, pos);
        if (r < 0) {
                Qcow2Row row = { first, 1, false };
                (void)qcow2_refcount_drop(n, &row);
                return r;
        }
        qcow2_filter_add(&w->guard.tables, first);
        qcow2_l1_set(q, index, pos | QCOW2_ENTRY_COPIED);
        if (old != 0)
                (void)qcow2_row_add(&w->freed, old >> q->header.cluster_bits, 1, false);
        *ret_pos = pos;
        return 0;
}

static int qcow2_own_table_locked(Node *n, uint64_t index, uint64_t *ret_pos)
{
        Qcow2 *q = n->state;
        uint64_t entry = qcow2_l1_get(q, index);
        uint64_t pos = entry & QCOW2_ENTRY_POS, count = 0;

        if (!qcow2_l1_entry_is_sound(q, entry))
                return qcow2_mark_corrupt(n);
        if (pos == 0)
                return qcow2_new_table(n, index, 0, ret_pos);
        if (pos >= atomic_load(&q->writer->file_end) || !qcow2_guard_allows_table(q, pos))
                return qcow2_mark_corrupt(n);
        if (!(entry & QCOW2_ENTRY_COPIED)) {
                int r = qcow2_refcount_get(n, pos >> q->header.cluster_bits, &count);
                if (r < 0)
                        return r;
                if (count != 1)
                        return qcow2_new_table(n, index, pos, ret_pos);
                /* The flag was behind the count. */
                qcow2_l1_set(q, index, entry | QCOW2_ENTRY_COPIED);
        }
        *ret_pos = pos;
        return 0;
}

int qcow2_own_table(Node *n, uint64_t off, uint64_t *ret_pos)
{
        Qcow2 *q = n->state;
        uint64_t index = off >> q->l1_bits;
        int r = 0;

        LOCKED(&q->writer->lock)
        {
                r = qcow2_own_table_locked(n, index, ret_pos);
        }
        return r;
}

void qcow2_give_up(Node *n, uint64_t entry)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t pos = entry & QCOW2_ENTRY_POS;

        if (entry & QCOW2_ENTRY_COMPRESSED) {
                Qcow2Coded coded = qcow2_coded_place(q, entry);
                uint64_t first = coded.pos >> q->header.cluster_bits;
                uint64_t last = (coded.pos + coded.len - 1) >> q->header.cluster_bits;
                (void)qcow2_row_add(&w->freed, first, last - first + 1, true);
                cache_drop(n->cache, &(CacheKey){ n, CACHE_DECODED, entry });
        } else if (pos != 0 && !qcow2_has_data_file(&q->header)) {
                (void)qcow2_row_add(&w->freed, pos >> q->header.cluster_bits, 1,
                                    q->cipher_store != NULL);
        }
}
