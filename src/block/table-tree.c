/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Neighbours of one kind become one extent, so that a long read is few calls and large transfers. Damage is told only
 * for the bytes it hits: an extent ends before a damaged entry, and the next map, which starts there, fails.
 */
#include "block/table-tree.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* How much one map looks at beyond the entry it was asked for. */
        TREE_MAP_SLICES = 16,
        TREE_MAP_ABSENT = 4096,

        TREE_CACHE_L1 = 1, /* the cache's kinds of pieces */
        TREE_CACHE_L2 = 2,
};

/* One run of map. */
typedef struct TableRun {
        uint64_t at;   /* the next guest byte to look at */
        uint64_t end;  /* no need to look at this one or beyond */
        Extent extent; /* what there is so far; len 0: nothing yet */
        unsigned slices_left, absent_left;
} TableRun;

int table_tree_init(Node *n, TableTree *t, Err *err)
{
        int r = -pthread_mutex_init(&t->commit_lock, NULL);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = -pthread_mutex_init(&t->lock, NULL);
        if (r < 0) {
                pthread_mutex_destroy(&t->commit_lock);
                return err_set(err, -r, "%m");
        }
        t->has_locks = true;
        r = store_get_size(n->store, &t->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        atomic_init(&t->end, t->file_size);
        return 0;
}

static void table_slices_done(Node *n, TableSliceList *list)
{
        for (size_t i = 0; i < list->count; i++)
                cache_put(n->cache, list->slices[i].entry);
        free(list->slices);
}

void table_tree_done(Node *n, TableTree *t)
{
        if (!t->has_locks)
                return;
        table_slices_done(n, &t->l1_changed);
        table_slices_done(n, &t->l2_changed);
        cache_release(n->cache, t->reserved);
        free(t->tables);
        pthread_mutex_destroy(&t->commit_lock);
        pthread_mutex_destroy(&t->lock);
        *t = (TableTree){ 0 };
}

/* What lies past the end of the file reads as zeroes; whoever asks for entries looks whether they are there. */
static int table_tree_load(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

int table_tree_get_slice(Node *n,
                         TableTree *t,
                         uint64_t table,
                         uint64_t len,
                         uint64_t index,
                         TableSlice *ret,
                         uint8_t **ret_entry)
{
        uint64_t at = index * 8;
        uint64_t first = round_down(at, TABLE_TREE_SLICE);
        bool is_l1 = table == t->l1_pos;
        CacheKey key = {
                .owner = n,
                .kind = is_l1 ? TREE_CACHE_L1 : TREE_CACHE_L2,
                .at = table + first,
        };
        /* The L1 table may become longer, and an entry of the cache does not. */
        size_t held = is_l1 ? TABLE_TREE_SLICE : (size_t)u64_min(len, TABLE_TREE_SLICE);
        CacheEntry *entry = NULL;

        if (table + at + 8 > atomic_load_explicit(&t->end, memory_order_acquire))
                return -EIO;
        int r = cache_get(n->cache, &key, held, table_tree_load, n->store, &entry);
        if (r < 0)
                return r;
        *ret = (TableSlice){ entry, key.at, (size_t)u64_min(len - first, TABLE_TREE_SLICE) };
        *ret_entry = (uint8_t *)cache_entry_bytes(entry) + (at - first);
        return 0;
}

/* Nobody changes what nobody writes to. */
static void table_tree_lock(TableTree *t)
{
        if (t->writes)
                pthread_mutex_lock(&t->lock);
}

static void table_tree_unlock(TableTree *t)
{
        if (t->writes)
                pthread_mutex_unlock(&t->lock);
}

int table_tree_find_table(Node *n, TableTree *t, uint64_t off, uint64_t *ret)
{
        uint64_t index = off >> table_tree_l1_bits(t);
        TableSlice slice = { 0 };
        uint8_t *entry = NULL;

        *ret = 0;
        if (index >= t->l1_count)
                return 0;
        int r = table_tree_get_slice(n, t, t->l1_pos, t->l1_count * 8, index, &slice, &entry);
        if (r < 0)
                return r;
        table_tree_lock(t);
        uint64_t pos = t->ops->get_table(entry);
        table_tree_unlock(t);
        cache_put(n->cache, slice.entry);
        if (pos == 0)
                return 0;
        r = t->ops->has_table(n, pos);
        if (r > 0)
                *ret = pos;
        return r < 0 ? r : 0;
}

/* The last of the tables that begin before `pos`: its index plus 1. */
static size_t table_tree_find_before(const TableTree *t, uint64_t pos)
{
        size_t low = 0, high = t->table_count;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (t->tables[mid] < pos)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

/* May guest data lie in the cluster at `pos` and be written over? Wants the lock. */
static bool table_tree_is_data(const TableTree *t, uint64_t pos)
{
        uint64_t len = table_tree_cluster_size(t);

        if (pos < t->header_len || !in_range(pos, len, atomic_load(&t->end)) ||
            table_ranges_overlap(pos, len, t->l1_pos, t->l1_len))
                return false;
        size_t k = table_tree_find_before(t, pos + len);
        return k == 0 || !table_ranges_overlap(pos, len, t->tables[k - 1], table_tree_table_len(t));
}

int table_tree_classify(Node *n, TableTree *t, uint64_t off, const uint8_t *entry, Extent *ret)
{
        Extent e = { .off = off, .len = table_tree_cluster_size(t) };

        int r = t->ops->classify(n, off, t->ops->get(entry), &e);
        if (r < 0)
                return r;
        if (e.kind == EXTENT_DATA) {
                e.store = n->store;
                e.in_place = e.in_place && t->writes && table_tree_is_data(t, e.pos);
        }
        *ret = e;
        return 0;
}

/* Takes a piece that covers run->at; false when it is of another kind and ends the run. */
static bool table_run_add(TableRun *run, const Extent *piece)
{
        Extent *e = &run->extent;

        if (e->len == 0) {
                *e = *piece;
        } else {
                if (piece->kind != e->kind || e->kind == EXTENT_CODED)
                        return false;
                if (e->kind == EXTENT_DATA &&
                    (piece->pos != e->pos + e->len || piece->in_place != e->in_place))
                        return false;
                e->len += piece->len;
        }
        run->at = piece->off + piece->len;
        return true;
}

/* Goes through the entries of one slice: 1 go on behind it, 0 the run ends. */
static int table_run_slice(Node *n, TableTree *t, TableRun *run, uint64_t table)
{
        uint64_t cluster = table_tree_cluster_size(t), len = table_tree_table_len(t);
        uint64_t index = run->at >> t->cluster_bits & (len / 8 - 1);
        TableSlice slice = { 0 };
        uint8_t *entry = NULL;
        int r = table_tree_get_slice(n, t, table, len, index, &slice, &entry);
        if (r < 0)
                return r;

        uint64_t count = u64_min(len, TABLE_TREE_SLICE) / 8;
        count -= index % count;
        /* Where the file has ended there are no entries. */
        uint64_t pos = table + index * 8;
        count = u64_min(count, (atomic_load(&t->end) - pos) / 8);
        table_tree_lock(t);
        r = 1;
        for (uint64_t i = 0; i < count && r == 1 && run->at < run->end; i++) {
                Extent piece;
                r = table_tree_classify(n, t, round_down(run->at, cluster), entry + i * 8, &piece);
                if (r == 0)
                        r = table_run_add(run, &piece);
        }
        table_tree_unlock(t);
        cache_put(n->cache, slice.entry);
        return r;
}

/* Goes on by a slice or an absent table: 1 go on, 0 the run ends. */
static int table_run_step(Node *n, TableTree *t, TableRun *run)
{
        uint32_t bits = table_tree_l1_bits(t);
        uint64_t table = 0;

        int r = table_tree_find_table(n, t, run->at, &table);
        if (r < 0)
                return r;
        if (table != 0)
                return run->slices_left-- == 0 ? 0 : table_run_slice(n, t, run, table);
        if (run->absent_left-- == 0)
                return 0;
        Extent absent = {
                .kind = EXTENT_BELOW,
                .off = run->at >> bits << bits,
                .len = UINT64_C(1) << bits,
        };
        return table_run_add(run, &absent);
}

int table_tree_map(Node *n, TableTree *t, uint64_t off, uint64_t len, Extent *ret)
{
        TableRun run = {
                .at = off,
                .end = off + len,
                .slices_left = TREE_MAP_SLICES,
                .absent_left = TREE_MAP_ABSENT,
        };
        int r = 1;

        while (r == 1 && run.at < run.end)
                r = table_run_step(n, t, &run);
        if (run.extent.len == 0)
                return r;

        /* A coded cluster unpacks as a whole, even where it reaches past the end of the disk. */
        if (run.extent.kind != EXTENT_CODED)
                run.extent.len = u64_min(run.extent.len, n->size - run.extent.off);
        *ret = run.extent;
        return 0;
}
