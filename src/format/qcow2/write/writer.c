/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/write/writer.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

pthread_mutex_t *qcow2_slice_lock(Qcow2Writer *w, uint64_t pos)
{
        /* Slices are at least a sector long. */
        return &w->slice_locks[pos / QCOW2_SECTOR * UINT64_C(0x9e3779b97f4a7c15) >> 60];
}

int qcow2_slice_keep(Node *n, Qcow2SliceList *list, CacheEntry *entry, uint64_t pos)
{
        uint32_t *mark = cache_entry_mark(entry);

        if (*mark & QCOW2_MARK_CHANGED) {
                cache_put(n->cache, entry);
                return 0;
        }
        if (list->count == list->room) {
                size_t room = 2 * list->room + 64;
                Qcow2Slice *grown = reallocarray(list->slices, room, sizeof(*grown));
                if (!grown) {
                        cache_put(n->cache, entry);
                        return -ENOMEM;
                }
                list->slices = grown;
                list->room = room;
        }
        *mark |= QCOW2_MARK_CHANGED;
        list->slices[list->count++] = (Qcow2Slice){ entry, pos };
        return 0;
}

int qcow2_row_reserve(Qcow2RowList *list, size_t more)
{
        if (list->room - list->count >= more)
                return 0;
        size_t room = 2 * list->room + more + 16;
        Qcow2Row *grown = reallocarray(list->rows, room, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        list->rows = grown;
        list->room = room;
        return 0;
}

int qcow2_row_add(Qcow2RowList *list, uint64_t first, uint64_t count, bool punch)
{
        Qcow2Row *last = list->count ? &list->rows[list->count - 1] : NULL;

        if (last && last->punch == punch && last->first + last->count == first) {
                last->count += count;
                list->added += count;
                return 0;
        }
        int r = qcow2_row_reserve(list, 1);
        if (r < 0)
                return r;
        list->added += count;
        list->rows[list->count++] = (Qcow2Row){ first, count, punch };
        return 0;
}

static int qcow2_writer_init_locks(Qcow2Writer *w)
{
        int r = -pthread_mutex_init(&w->commit_lock, NULL);
        if (r < 0)
                return r;
        r = -pthread_mutex_init(&w->lock, NULL);
        for (size_t i = 0; i < QCOW2_SLICE_LOCKS && r >= 0; i++)
                r = -pthread_mutex_init(&w->slice_locks[i], NULL);
        return r;
}

static void qcow2_slices_done(Node *n, Qcow2SliceList *list)
{
        for (size_t i = 0; i < list->count; i++)
                cache_put(n->cache, list->slices[i].entry);
        free(list->slices);
}

void qcow2_writer_close(Node *n)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        if (!w)
                return;
        qcow2_slices_done(n, &w->tables);
        qcow2_slices_done(n, &w->blocks);
        qcow2_guard_done(&w->guard);
        free(w->refcount_table);
        free(w->new_blocks);
        free(w->l1_dirty);
        free(w->freed.rows);
        free(w->reusable.rows);
        pthread_mutex_destroy(&w->commit_lock);
        pthread_mutex_destroy(&w->lock);
        for (size_t i = 0; i < QCOW2_SLICE_LOCKS; i++)
                pthread_mutex_destroy(&w->slice_locks[i]);
        free(w);
        q->writer = NULL;
}

static int qcow2_read_refcount_table(Node *n, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        void *table = NULL;

        w->refcount_table_pos = q->header.refcount_table_pos;
        w->refcount_table_count = q->header.refcount_table_clusters << (q->header.cluster_bits - 3);
        uint64_t len = w->refcount_table_count * sizeof(be64);
        int r = qcow2_reserve(n, len, "refcount table", err);
        if (r >= 0)
                r = table_read(n->store, w->refcount_table_pos, w->refcount_table_count,
                               sizeof(be64), "refcount table", &table, err);
        if (r < 0)
                return r;
        w->refcount_table = qcow2_table_to_host(table, w->refcount_table_count);
        return 0;
}

static uint64_t qcow2_refcount_table_entry(const void *table, uint64_t index)
{
        const uint64_t *entries = table;
        return entries[index];
}

int qcow2_copy_refcount_table(Node *n, uint64_t clusters, uint64_t pos, uint64_t **ret)
{
        const Qcow2 *q = n->state;
        const Qcow2Writer *w = q->writer;
        uint64_t count = clusters << (q->header.cluster_bits - 3);

        if (qcow2_reserve(n, clusters * q->cluster_size, "refcount table", NULL) < 0)
                return -ENOSPC;
        _cleanup_free_ uint64_t *table = calloc((size_t)clusters, (size_t)q->cluster_size);
        int r = table ? 0 : -ENOMEM;
        if (r >= 0) {
                memcpy(table, w->refcount_table, (size_t)w->refcount_table_count * sizeof(*table));
                r = qcow2_write_entries(n, pos, 0, count, qcow2_refcount_table_entry, table);
        }
        if (r < 0) {
                qcow2_release_memory(n, clusters * q->cluster_size);
                return r;
        }
        *ret = TAKE(table);
        return 0;
}

/* The features of the image that a writer has to do something about before the first change. */
static bool qcow2_is_prepared(const Qcow2 *q)
{
        return q->bitmap_count == 0 &&
               (q->header.autoclear & ~(QCOW2_AUTOCLEAR_BITMAPS | QCOW2_AUTOCLEAR_DATA_FILE_RAW)) ==
                       0;
}

int qcow2_writer_open(Node *n, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = calloc(1, sizeof(*w));

        if (!w)
                return err_set(err, ENOMEM, "%m");
        int r = qcow2_writer_init_locks(w);
        if (r < 0) {
                free(w);
                return err_set(err, -r, "%m");
        }
        q->writer = w;
        r = qcow2_read_refcount_table(n, err);
        if (r < 0)
                return r;

        if (!q->data_store)
                return err_set(err, EACCES, "its data file '%s' was not opened", q->data_name);
        w->l1_pos = q->header.l1_pos;
        w->l1_dirty = calloc(1, div_round_up(q->l1_count, QCOW2_L1_SECTOR_ENTRIES) + 1);
        if (!w->l1_dirty)
                return err_set(err, ENOMEM, "%m");
        r = qcow2_reserve(n,
                          qcow2_filter_len(q->l1_count) + qcow2_filter_len(w->refcount_table_count),
                          "what is kept of tables", err);
        if (r < 0)
                return r;
        w->disk_size = q->header.size;
        atomic_init(&w->file_end, round_up(q->file_size, q->cluster_size));
        atomic_init(&w->prepared, qcow2_is_prepared(q));
        n->granule = q->cluster_size;
        return qcow2_guard_init(n, err);
}
