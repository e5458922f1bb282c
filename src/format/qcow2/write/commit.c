/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes what has changed, in an order in which no crash can leave a reference to what is not there or not counted.
 * What is to be written is copied in one moment, under the lock; while it is being written, more may change.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* How many counts are taken back in one go: others wait meanwhile. */
        QCOW2_DROP_MAX = 4096,
};

/* A few entries of the L1 table. */
typedef struct Qcow2L1Sector {
        uint64_t index; /* of the first, a multiple of QCOW2_L1_SECTOR_ENTRIES */
        uint64_t count;
        be64 entries[QCOW2_L1_SECTOR_ENTRIES];
} Qcow2L1Sector;

typedef struct Qcow2BlockEntry {
        uint64_t index;
        uint64_t block;
} Qcow2BlockEntry;

/* One commit: what it took from the writer, which gets it back when the commit fails, and copies of the bytes. */
typedef struct Qcow2Batch {
        Qcow2SliceList blocks, tables;
        uint8_t *block_bytes, *table_bytes;

        Qcow2BlockEntry *new_blocks;
        size_t new_block_count;
        bool refcount_table_moved;
        uint64_t refcount_table_pos, refcount_table_count;

        Qcow2L1Sector *l1_sectors;
        size_t l1_sector_count;
        bool l1_moved;
        uint64_t l1_pos, l1_count;

        bool size_changed;
        uint64_t disk_size;

        Qcow2RowList freed;
} Qcow2Batch;

static void qcow2_batch_done(Node *n, Qcow2Batch *b)
{
        for (size_t i = 0; i < b->blocks.count; i++)
                cache_put(n->cache, b->blocks.slices[i].entry);
        for (size_t i = 0; i < b->tables.count; i++)
                cache_put(n->cache, b->tables.slices[i].entry);
        free(b->blocks.slices);
        free(b->tables.slices);
        free(b->block_bytes);
        free(b->table_bytes);
        free(b->new_blocks);
        free(b->l1_sectors);
        free(b->freed.rows);
}

static int qcow2_copy_slices(const Qcow2 *q, const Qcow2SliceList *list, uint8_t **ret)
{
        uint8_t *bytes = calloc(list->count + 1, q->slice_len);
        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < list->count; i++)
                memcpy(bytes + i * q->slice_len, cache_entry_bytes(list->slices[i].entry),
                       q->slice_len);
        *ret = bytes;
        return 0;
}

static int qcow2_batch_copy_l1(Qcow2 *q, Qcow2Batch *b)
{
        Qcow2Writer *w = q->writer;
        size_t sectors = (size_t)div_round_up(q->l1_count, QCOW2_L1_SECTOR_ENTRIES);

        if (w->l1_dirty_count == 0)
                return 0;
        b->l1_sectors = calloc(w->l1_dirty_count, sizeof(*b->l1_sectors));
        if (!b->l1_sectors)
                return -ENOMEM;
        for (size_t i = 0; i < sectors && b->l1_sector_count < w->l1_dirty_count; i++) {
                if (!w->l1_dirty[i])
                        continue;
                Qcow2L1Sector *s = &b->l1_sectors[b->l1_sector_count++];
                s->index = i * QCOW2_L1_SECTOR_ENTRIES;
                s->count = u64_min(QCOW2_L1_SECTOR_ENTRIES, q->l1_count - s->index);
                for (uint64_t k = 0; k < s->count; k++)
                        s->entries[k] = to_be64(qcow2_l1_get(q, s->index + k));
        }
        return 0;
}

static int qcow2_batch_copy_new_blocks(Qcow2Writer *w, Qcow2Batch *b)
{
        b->new_blocks = calloc(w->new_block_count + 1, sizeof(*b->new_blocks));
        if (!b->new_blocks)
                return -ENOMEM;
        for (size_t i = 0; i < w->new_block_count; i++)
                b->new_blocks[i] =
                        (Qcow2BlockEntry){ w->new_blocks[i], w->refcount_table[w->new_blocks[i]] };
        b->new_block_count = w->new_block_count;
        return 0;
}

/* The slices of a list become the batch's own; the writer starts a new list. */
static void qcow2_list_take(Qcow2SliceList *from, Qcow2SliceList *to)
{
        *to = *from;
        *from = (Qcow2SliceList){ 0 };
        for (size_t i = 0; i < to->count; i++)
                *cache_entry_mark(to->slices[i].entry) &= ~(uint32_t)QCOW2_MARK_CHANGED;
}

/* Changed counts alone: they may always be written. Wants the lock. */
static int qcow2_batch_take_blocks(Node *n, Qcow2Batch *b)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        int r = qcow2_copy_slices(q, &w->blocks, &b->block_bytes);
        if (r < 0)
                return r;
        qcow2_list_take(&w->blocks, &b->blocks);
        return 0;
}

/* Everything. Wants the lock; takes nothing when it fails. */
static int qcow2_batch_take(Node *n, Qcow2Batch *b)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        int r = qcow2_copy_slices(q, &w->tables, &b->table_bytes);
        if (r >= 0)
                r = qcow2_batch_copy_l1(q, b);
        if (r >= 0)
                r = qcow2_batch_copy_new_blocks(w, b);
        if (r >= 0)
                r = qcow2_batch_take_blocks(n, b);
        if (r < 0)
                return r;

        qcow2_list_take(&w->tables, &b->tables);
        w->new_block_count = 0;
        for (size_t i = 0; i < b->l1_sector_count; i++)
                w->l1_dirty[b->l1_sectors[i].index / QCOW2_L1_SECTOR_ENTRIES] = 0;
        w->l1_dirty_count = 0;
        b->freed = w->freed;
        w->freed = (Qcow2RowList){ 0 };

        b->refcount_table_moved = w->refcount_table_moved;
        b->refcount_table_pos = w->refcount_table_pos;
        b->refcount_table_count = w->refcount_table_count;
        b->l1_moved = w->l1_moved;
        b->l1_pos = w->l1_pos;
        b->l1_count = q->l1_count;
        b->size_changed = w->size_changed;
        b->disk_size = w->disk_size;
        w->refcount_table_moved = w->l1_moved = w->size_changed = false;
        return 0;
}

/* Keeps slices of a batch that was not written; 0 or -ENOMEM. */
static int qcow2_list_put_back(Node *n, Qcow2SliceList *from, Qcow2SliceList *to)
{
        int r = 0;

        for (size_t i = 0; i < from->count; i++) {
                int k = qcow2_slice_keep(n, to, from->slices[i].entry, from->slices[i].pos);
                r = r < 0 ? r : k;
        }
        from->count = 0;
        return r;
}

/* What could not be written is written next time. Wants the lock. */
static void qcow2_batch_put_back(Node *n, Qcow2Batch *b)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;

        int r = qcow2_list_put_back(n, &b->blocks, &w->blocks);
        int k = qcow2_list_put_back(n, &b->tables, &w->tables);
        r = r < 0 ? r : k;
        for (size_t i = 0; i < b->new_block_count && r >= 0; i++)
                r = qcow2_note_new_block(w, b->new_blocks[i].index);
        for (size_t i = 0; i < b->freed.count && r >= 0; i++)
                r = qcow2_row_add(&w->freed, b->freed.rows[i].first, b->freed.rows[i].count,
                                  b->freed.rows[i].punch);
        for (size_t i = 0; i < b->l1_sector_count; i++) {
                uint8_t *dirty = &w->l1_dirty[b->l1_sectors[i].index / QCOW2_L1_SECTOR_ENTRIES];
                w->l1_dirty_count += !*dirty;
                *dirty = 1;
        }
        w->refcount_table_moved |= b->refcount_table_moved;
        w->l1_moved |= b->l1_moved;
        w->size_changed |= b->size_changed;
        /* A change that nobody knows of any more: what is written from now on could rely on it. */
        if (r < 0)
                atomic_store(&n->broken, true);
}

static int qcow2_write_slices(Node *n, const Qcow2SliceList *list, const uint8_t *bytes)
{
        const Qcow2 *q = n->state;

        for (size_t i = 0; i < list->count; i++) {
                int r = store_write(n->store, bytes + i * q->slice_len, q->slice_len,
                                    list->slices[i].pos);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The header's two fields of a table, which are written at once: they hold together only. */
static int qcow2_write_refcount_table_place(Node *n, const Qcow2Batch *b)
{
        const Qcow2 *q = n->state;
        struct {
                be64 pos;
                be32 clusters;
        } raw = { to_be64(b->refcount_table_pos),
                  to_be32((uint32_t)(b->refcount_table_count >> (q->header.cluster_bits - 3))) };

        return store_write(n->store, &raw, sizeof(raw),
                           offsetof(Qcow2DiskHeader, refcount_table_offset));
}

static int qcow2_write_l1_place(Node *n, const Qcow2Batch *b)
{
        struct {
                be32 count;
                be64 pos;
        } raw = { to_be32((uint32_t)b->l1_count), to_be64(b->l1_pos) };

        return store_write(n->store, &raw, sizeof(raw), offsetof(Qcow2DiskHeader, l1_size));
}

/* Pointers to new refcount blocks, and to a new refcount table. */
static int qcow2_write_refcount_table(Node *n, const Qcow2Batch *b)
{
        for (size_t i = 0; i < b->new_block_count; i++) {
                be64 raw = to_be64(b->new_blocks[i].block);
                int r = store_write(n->store, &raw, sizeof(raw),
                                    b->refcount_table_pos + b->new_blocks[i].index * sizeof(raw));
                if (r < 0)
                        return r;
        }
        return b->refcount_table_moved ? qcow2_write_refcount_table_place(n, b) : 0;
}

static int qcow2_write_tables(Node *n, const Qcow2Batch *b)
{
        int r = qcow2_write_slices(n, &b->tables, b->table_bytes);
        for (size_t i = 0; i < b->l1_sector_count && r >= 0; i++) {
                const Qcow2L1Sector *s = &b->l1_sectors[i];
                r = store_write(n->store, s->entries, s->count * sizeof(be64),
                                b->l1_pos + s->index * sizeof(be64));
        }
        return r >= 0 && b->l1_moved ? qcow2_write_l1_place(n, b) : r;
}

static int qcow2_write_size(Node *n, const Qcow2Batch *b)
{
        be64 raw = to_be64(b->disk_size);

        int r = node_sync(n);
        return r < 0 ? r
                     : store_write(n->store, &raw, sizeof(raw), offsetof(Qcow2DiskHeader, size));
}

static int qcow2_batch_write(Node *n, const Qcow2Batch *b)
{
        bool has_tables = b->tables.count > 0 || b->l1_sector_count > 0 || b->l1_moved;
        bool has_pointers = b->new_block_count > 0 || b->refcount_table_moved;

        int r = qcow2_write_slices(n, &b->blocks, b->block_bytes);
        if (r >= 0 && (has_pointers || has_tables))
                r = node_sync(n);
        if (r >= 0 && has_pointers) {
                r = qcow2_write_refcount_table(n, b);
                if (r >= 0 && has_tables)
                        r = node_sync(n);
        }
        if (r >= 0)
                r = qcow2_write_tables(n, b);
        if (r >= 0 && b->size_changed)
                r = qcow2_write_size(n, b);
        return r;
}

static int qcow2_drop_row(Node *n, Qcow2Row *row)
{
        Qcow2 *q = n->state;
        int r = 0;

        while (row->count > 0 && r >= 0) {
                Qcow2Row part = { row->first, u64_min(row->count, QCOW2_DROP_MAX), row->punch };
                uint64_t count = part.count;
                LOCKED(&q->writer->lock)
                {
                        r = qcow2_refcount_drop(n, &part);
                }
                row->first += count - part.count;
                row->count -= count - part.count;
        }
        return r;
}

/* Writes changed counts alone, which may be done at any time. */
static void qcow2_write_counts(Node *n)
{
        Qcow2 *q = n->state;
        Qcow2Batch b = { 0 };
        int r = 0;

        LOCKED(&q->writer->lock)
        {
                r = qcow2_batch_take_blocks(n, &b);
        }
        if (r >= 0)
                r = qcow2_write_slices(n, &b.blocks, b.block_bytes);
        if (r < 0)
                LOCKED(&q->writer->lock)
                {
                        qcow2_batch_put_back(n, &b);
                }
        qcow2_batch_done(n, &b);
}

/* Nothing on the disk refers any more to what was given up: counts it as free. All that was promised is on the disk
 * already, so what fails here is left to the next commit: always 1. */
static int qcow2_drop_freed(Node *n, const Qcow2RowList *freed)
{
        Qcow2 *q = n->state;

        /* Before anybody can put something there. */
        atomic_fetch_add(&n->reuses, 1);
        for (size_t i = 0; i < freed->count; i++) {
                Qcow2Row *row = &freed->rows[i];
                if (qcow2_drop_row(n, row) < 0)
                        LOCKED(&q->writer->lock)
                        {
                                /* Without memory for it, a leak. */
                                (void)qcow2_row_add(&q->writer->freed, row->first, row->count,
                                                    row->punch);
                        }
        }
        qcow2_write_counts(n);
        return 1;
}

static int qcow2_commit_locked(Node *n)
{
        Qcow2 *q = n->state;
        Qcow2Batch b = { 0 };
        int r = 0;

        LOCKED(&q->writer->lock)
        {
                r = qcow2_batch_take(n, &b);
        }
        if (r >= 0) {
                bool frees = b.freed.count > 0;
                r = qcow2_batch_write(n, &b);
                if (r >= 0 && frees)
                        r = node_sync(n);
                if (r < 0)
                        LOCKED(&q->writer->lock)
                        {
                                qcow2_batch_put_back(n, &b);
                        }
                else if (frees)
                        r = qcow2_drop_freed(n, &b.freed);
        }
        qcow2_batch_done(n, &b);
        return r;
}

int qcow2_commit(Node *n)
{
        Qcow2 *q = n->state;
        int r = 0;

        LOCKED(&q->writer->commit_lock)
        {
                r = qcow2_commit_locked(n);
        }
        return r;
}

static bool qcow2_is_full(Node *n)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        size_t most = u64_min(QCOW2_DIRTY_LEN_MAX / q->slice_len, QCOW2_DIRTY_COUNT_MAX);
        bool full = false;

        LOCKED(&w->lock)
        {
                full = w->tables.count >= most || w->blocks.count >= most ||
                       w->freed.count >= QCOW2_FREED_COUNT_MAX ||
                       w->freed.added >> (QCOW2_FREED_LEN_BITS - q->header.cluster_bits) > 0;
        }
        return full;
}

int qcow2_make_room(Node *n)
{
        Qcow2 *q = n->state;
        int r = 0;

        if (!qcow2_is_full(n))
                return 0;
        LOCKED(&q->writer->commit_lock)
        {
                /* Another thread may have done it while this one waited. */
                if (qcow2_is_full(n))
                        r = qcow2_commit_locked(n);
        }
        return r < 0 ? r : 0;
}
