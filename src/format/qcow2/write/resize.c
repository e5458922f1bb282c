/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the disk longer or shorter. Layout is held exclusively. The header learns the new size last of all, when all
 * that depends on it is on the disk.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Gives the L1 table in memory `count` entries, the new ones empty. */
static int qcow2_l1_lengthen(Node *n, uint64_t count)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        size_t sectors = (size_t)div_round_up(count, QCOW2_L1_SECTOR_ENTRIES) + 1;
        size_t old_sectors = (size_t)div_round_up(q->l1_count, QCOW2_L1_SECTOR_ENTRIES) + 1;
        _cleanup_free_ uint8_t *dirty = calloc(1, sectors);
        _cleanup_free_ atomic_uint_fast64_t *l1 = calloc((size_t)count, sizeof(*l1));

        if (!dirty || !l1)
                return -ENOMEM;
        /* For a moment there are both tables. */
        uint64_t more = count * sizeof(*l1) + qcow2_filter_len(count);
        int r = qcow2_reserve(n, more, "L1 table", NULL);
        if (r < 0)
                return r;
        r = qcow2_filter_init(&w->guard.tables, count);
        if (r < 0) {
                qcow2_release_memory(n, more);
                return r;
        }
        for (uint64_t i = 0; i < q->l1_count; i++) {
                uint64_t entry = qcow2_l1_get(q, i), pos = entry & QCOW2_ENTRY_POS;
                atomic_init(&l1[i], entry);
                if (pos != 0)
                        qcow2_filter_add(&w->guard.tables, pos >> q->header.cluster_bits);
        }
        memcpy(dirty, w->l1_dirty, u64_min(sectors, old_sectors));
        qcow2_release_memory(n, q->l1_count * sizeof(*l1) + qcow2_filter_len(q->l1_count));
        free(q->l1);
        q->l1 = TAKE(l1);
        free(w->l1_dirty);
        w->l1_dirty = TAKE(dirty);
        q->l1_count = count;
        return 0;
}

/* Entries that the table does not have yet are empty. */
static uint64_t qcow2_l1_entry(const void *table, uint64_t index)
{
        const Qcow2 *q = table;
        return index < q->l1_count ? qcow2_l1_get(q, index) : 0;
}

/* A longer L1 table in a place of its own. Nothing refers to it before a commit has changed the header. */
static int qcow2_l1_move(Node *n, uint64_t count)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t clusters = div_round_up(count * sizeof(be64), q->cluster_size);
        uint64_t old_clusters = div_round_up(q->l1_count * sizeof(be64), q->cluster_size);
        uint64_t first = 0;

        int r = qcow2_row_reserve(&w->freed, 1);
        if (r < 0)
                return r;
        if (clusters == 1) {
                uint64_t got = 0;
                bool zeroed = false;
                r = qcow2_take(n, 1, &first, &got, &zeroed);
        } else {
                r = qcow2_take_row(n, clusters, &first);
        }
        if (r < 0)
                return r;
        uint64_t pos = first << q->header.cluster_bits;
        r = qcow2_write_entries(n, pos, 0, count, qcow2_l1_entry, q);
        if (r >= 0)
                r = qcow2_l1_lengthen(n, count);
        if (r < 0) {
                Qcow2Row row = { first, clusters, false };
                (void)qcow2_refcount_drop(n, &row);
                return r;
        }
        if (old_clusters > 0)
                (void)qcow2_row_add(&w->freed, w->l1_pos >> q->header.cluster_bits, old_clusters,
                                    false);
        w->l1_pos = pos;
        w->l1_moved = true;
        qcow2_guard_move(&w->guard.l1_pos, &w->guard.l1_len, pos, count * sizeof(be64));
        return 0;
}

/* Longer within the clusters that it has. */
static int qcow2_l1_extend(Node *n, uint64_t count)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        int r = qcow2_write_entries(n, w->l1_pos, q->l1_count, count, qcow2_l1_entry, q);
        if (r < 0)
                return r;
        r = qcow2_l1_lengthen(n, count);
        if (r < 0)
                return r;
        w->l1_moved = true;
        qcow2_guard_move(&w->guard.l1_pos, &w->guard.l1_len, w->l1_pos, count * sizeof(be64));
        return 0;
}

static int qcow2_l1_grow(Node *n, uint64_t need)
{
        Qcow2 *q = n->state;
        uint64_t room = round_up(q->l1_count * sizeof(be64), q->cluster_size) / sizeof(be64);
        /* A table that has to move moves to a generous place: a disk may grow in many small steps. */
        uint64_t generous = u64_min(q->l1_count + q->l1_count / 2, QCOW2_L1_COUNT_MAX);
        int r = 0;

        LOCKED(&q->writer->lock)
        {
                r = need <= room ? qcow2_l1_extend(n, need)
                                 : qcow2_l1_move(n, u64_max(need, generous));
        }
        return r;
}

static void qcow2_free_table(Node *n, uint64_t index)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t pos = qcow2_l1_get(q, index) & QCOW2_ENTRY_POS;

        LOCKED(&w->lock)
        {
                /* Without memory it stays where it is, empty. */
                if (qcow2_row_add(&w->freed, pos >> q->header.cluster_bits, 1, true) >= 0)
                        qcow2_l1_clear(n, index);
        }
}

/* Gives up all that lies in [off, end), both rounded up to clusters. If the power fails before the header says so, a
 * disk of the old size must not show there what lies below: where there are zero clusters, they stay. */
static int qcow2_forget(Node *n, uint64_t off, uint64_t end)
{
        Qcow2 *q = n->state;
        uint64_t span = UINT64_C(1) << q->l1_bits;
        Qcow2Clear how =
                qcow2_has_below(n) && q->header.version >= 3 ? QCOW2_CLEAR_OWN : QCOW2_CLEAR_FORGET;

        int r = qcow2_clear(n, round_up(off, q->cluster_size), round_up(end, q->cluster_size), how);
        if (r < 0 || how == QCOW2_CLEAR_OWN)
                return r;
        for (uint64_t i = div_round_up(off, span); i < u64_min(end / span, q->l1_count); i++)
                if (qcow2_l1_get(q, i) != 0)
                        qcow2_free_table(n, i);
        return 0;
}

static int qcow2_resize_data_file(Node *n, uint64_t size)
{
        Qcow2 *q = n->state;
        uint64_t now = 0;

        if (!qcow2_has_data_file(&q->header))
                return 0;
        int r = store_get_size(q->host_store, &now);
        if (r < 0)
                return r;
        /* What lies behind the old end was no part of the disk. */
        if (qcow2_is_raw_file(q) && size > n->size && now > n->size) {
                r = qcow2_raw_file_clear(n, n->size, u64_min(now, size) - n->size);
                if (r < 0)
                        return r;
        }
        if (now == size)
                return 0;
        r = store_set_size(q->host_store, size);
        /* A block device has the size that it has, which may be more. */
        return r == -EOPNOTSUPP ? (now > size ? 0 : -ENOSPC) : r;
}

static void qcow2_set_disk_size(Qcow2Writer *w, uint64_t size)
{
        LOCKED(&w->lock)
        {
                w->disk_size = size;
                w->size_changed = true;
        }
}

/* Version 2 over a layer below: there the new size has to be on the disk first. What cannot be given up after that
 * lies behind the end, where a longer disk forgets it. */
static int qcow2_shrink_first(Node *n, uint64_t size, uint64_t end)
{
        Qcow2 *q = n->state;

        qcow2_set_disk_size(q->writer, size);
        int r = qcow2_commit(n);
        if (r == 0)
                r = node_sync(n);
        if (r < 0) {
                qcow2_set_disk_size(q->writer, round_up(n->size, QCOW2_SECTOR));
                return r;
        }
        (void)qcow2_forget(n, size, end);
        return 0;
}

int qcow2_resize(Node *n, uint64_t size)
{
        Qcow2 *q = n->state;
        uint64_t sectors = round_up(size, QCOW2_SECTOR);
        uint64_t need = div_round_up(sectors, UINT64_C(1) << q->l1_bits);
        /* A shorter disk gives up all that lies behind its end; a longer one must not show what was left there. */
        uint64_t from = u64_min(n->size, size);
        uint64_t to = size < n->size ? round_up(n->size, UINT64_C(1) << q->l1_bits) : size;

        /* Only since version 3 has each snapshot a size of its own. */
        if (q->header.version < 3 && q->header.snapshot_count > 0)
                return -EOPNOTSUPP;
        if (need > QCOW2_L1_COUNT_MAX)
                return -EFBIG;
        int r = qcow2_prepare(n);
        if (r < 0)
                return r;
        r = qcow2_prepare_size(n, sectors);
        if (r < 0)
                return r;
        if (size < n->size && q->header.version < 3 && qcow2_has_below(n))
                return qcow2_shrink_first(n, sectors, to);
        r = qcow2_forget(n, from, to);
        if (r >= 0 && need > q->l1_count)
                r = qcow2_l1_grow(n, need);
        if (r >= 0)
                r = qcow2_resize_data_file(n, sectors);
        if (r < 0)
                return r;
        qcow2_set_disk_size(q->writer, sectors);
        return 0;
}
