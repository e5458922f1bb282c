/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table-tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* When a commit is due before more is changed: changed slices of each kind. */
        TREE_CHANGED_MAX = 512,

        /* The cache's marks of a slice. */
        TREE_MARK_CHANGED = 1 << 0, /* it is in a list of the tree's */
};

/* Room for one more slice, so that table_slices_keep cannot fail. */
static int table_slices_reserve(TableSliceList *list)
{
        if (list->count < list->room)
                return 0;
        size_t room = 2 * list->room + 16;
        TableSlice *grown = reallocarray(list->slices, room, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        list->slices = grown;
        list->room = room;
        return 0;
}

/* Keeps a changed slice, and the use of it, until it has been committed; it may be listed already. Wants the lock. */
static void table_slices_keep(Node *n, TableSliceList *list, const TableSlice *s)
{
        uint32_t *mark = cache_entry_mark(s->entry);

        if (*mark & TREE_MARK_CHANGED) {
                cache_put(n->cache, s->entry);
                return;
        }
        assert(list->count < list->room);
        *mark |= TREE_MARK_CHANGED;
        list->slices[list->count++] = *s;
}

/* Places of `len` bytes at the end of the file, which read as zeroes. The file gets as long as that now, before anybody
 * knows the place: later it could only be done by cutting off what others write meanwhile. Wants the lock. */
static int table_tree_take(Node *n, TableTree *t, uint64_t len, uint64_t *ret)
{
        uint64_t pos = atomic_load(&t->end), end;

        if (__builtin_add_overflow(pos, round_up(len, table_tree_cluster_size(t)), &end) ||
            end > INT64_MAX)
                return -ENOSPC;
        int r = store_set_size(n->store, end);
        if (r < 0)
                return r == -EOPNOTSUPP || r == -EFBIG ? -ENOSPC : r;
        atomic_store_explicit(&t->end, end, memory_order_release);
        *ret = pos;
        return 0;
}

/* Gives the last place that was taken back. What is not the last is a leak. Wants the lock. */
static void table_tree_untake(Node *n, TableTree *t, uint64_t pos, uint64_t len)
{
        uint64_t end = pos + round_up(len, table_tree_cluster_size(t));

        if (end == atomic_load(&t->end) && store_set_size(n->store, pos) == 0)
                atomic_store_explicit(&t->end, pos, memory_order_release);
}

/* Makes a table for an L1 entry that has none. Wants the lock, and room in l1_changed. */
static int table_tree_new_table(Node *n, TableTree *t, uint8_t *entry, uint64_t *ret)
{
        uint64_t len = table_tree_table_len(t), pos = 0;

        int r = table_tree_take(n, t, len, &pos);
        if (r < 0)
                return r;
        r = table_tree_note_table(n, t, pos);
        if (r < 0) {
                table_tree_untake(n, t, pos, len);
                return r;
        }
        t->ops->put_table(entry, pos);
        *ret = pos;
        return 0;
}

/* The L2 table for `off`, made if need be. */
static int table_tree_own_table(Node *n, TableTree *t, uint64_t off, uint64_t *ret)
{
        TableSlice slice = { 0 };
        uint8_t *entry = NULL;

        int r = table_tree_find_table(n, t, off, ret);
        if (r < 0 || *ret != 0)
                return r;
        r = table_tree_get_slice(n, t, t->l1_pos, t->l1_count * 8, off >> table_tree_l1_bits(t),
                                 &slice, &entry);
        if (r < 0)
                return r;
        LOCKED(&t->lock)
        {
                /* Another thread may have made it meanwhile. */
                *ret = t->ops->get_table(entry);
                r = *ret != 0 ? 0 : table_slices_reserve(&t->l1_changed);
                if (r >= 0 && *ret == 0)
                        r = table_tree_new_table(n, t, entry, ret);
                if (r >= 0)
                        table_slices_keep(n, &t->l1_changed, &slice);
        }
        if (r < 0)
                cache_put(n->cache, slice.entry);
        return r;
}

/* The slice of the L2 table with the entry for `off`, and how many entries it has from there on. */
static int table_tree_get_entries(Node *n,
                                  TableTree *t,
                                  uint64_t table,
                                  uint64_t off,
                                  TableSlice *ret,
                                  uint8_t **ret_entry,
                                  uint64_t *ret_count)
{
        uint64_t len = table_tree_table_len(t);
        uint64_t index = off >> t->cluster_bits & (len / 8 - 1);
        uint64_t each = u64_min(len, TABLE_TREE_SLICE) / 8;

        *ret_count = each - index % each;
        return table_tree_get_slice(n, t, table, len, index, ret, ret_entry);
}

/* A place for as many clusters in a row as have none, at most `most`. Wants the lock. */
static int table_tree_place(
        Node *n, TableTree *t, uint64_t off, uint64_t most, const uint8_t *entry, Extent *ret)
{
        uint64_t cluster = table_tree_cluster_size(t), count = 1, pos = 0;
        Extent e;

        int r = table_tree_classify(n, t, off, entry, &e);
        if (r < 0)
                return r;
        /* It has become in place since map was asked, or it lies where nothing of the guest's may be. */
        if (e.kind == EXTENT_DATA)
                return e.in_place ? -EAGAIN : -EIO;
        for (bool coded = e.kind == EXTENT_CODED; !coded && count < most; count++)
                if (table_tree_classify(n, t, off + count * cluster, entry + count * 8, &e) < 0 ||
                    e.kind == EXTENT_DATA || e.kind == EXTENT_CODED)
                        break;
        r = table_tree_take(n, t, count * cluster, &pos);
        if (r < 0)
                return r;
        *ret = (Extent){
                .kind = EXTENT_DATA,
                .off = off,
                .len = count * cluster,
                .store = n->store,
                .pos = pos,
                .in_place = true,
                .zeroed = true,
        };
        return 0;
}

static bool table_tree_is_full(TableTree *t)
{
        bool full = false;

        LOCKED(&t->lock)
        {
                full = t->l1_changed.count >= TREE_CHANGED_MAX ||
                       t->l2_changed.count >= TREE_CHANGED_MAX;
        }
        return full;
}

/* One commit: what it took from the tree, which gets it back when the commit fails, and copies of the bytes. */
typedef struct TableBatch {
        TableSliceList slices; /* owned */
        uint8_t *bytes;        /* owned */
} TableBatch;

static void table_batch_done(Node *n, TableBatch *b)
{
        for (size_t i = 0; i < b->slices.count; i++)
                cache_put(n->cache, b->slices.slices[i].entry);
        free(b->slices.slices);
        free(b->bytes);
        *b = (TableBatch){ 0 };
}

/* Wants the lock; takes nothing when it fails. */
static int table_batch_take(TableBatch *b, TableSliceList *from)
{
        if (from->count == 0)
                return 0;
        b->bytes = malloc(from->count * TABLE_TREE_SLICE);
        if (!b->bytes)
                return -ENOMEM;
        for (size_t i = 0; i < from->count; i++) {
                const TableSlice *s = &from->slices[i];
                memcpy(b->bytes + i * TABLE_TREE_SLICE, cache_entry_bytes(s->entry), s->len);
                *cache_entry_mark(s->entry) &= ~(uint32_t)TREE_MARK_CHANGED;
        }
        b->slices = *from;
        *from = (TableSliceList){ 0 };
        return 0;
}

/* What could not be written is written next time. Wants the lock. */
static void table_batch_put_back(Node *n, TableBatch *b, TableSliceList *to)
{
        while (b->slices.count > 0) {
                if (table_slices_reserve(to) < 0) {
                        /* A change that nobody knows of any more: later ones could rely on it. */
                        atomic_store(&n->broken, true);
                        return;
                }
                table_slices_keep(n, to, &b->slices.slices[--b->slices.count]);
        }
}

static int table_batch_write(Node *n, const TableBatch *b)
{
        for (size_t i = 0; i < b->slices.count; i++) {
                const TableSlice *s = &b->slices.slices[i];
                int r = store_write(n->store, b->bytes + i * TABLE_TREE_SLICE, s->len, s->pos);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int table_tree_commit_locked(Node *n, TableTree *t)
{
        TableBatch l1 = { 0 }, l2 = { 0 };
        int r = 0;

        LOCKED(&t->lock)
        {
                r = table_batch_take(&l1, &t->l1_changed);
                if (r >= 0)
                        r = table_batch_take(&l2, &t->l2_changed);
                if (r < 0)
                        table_batch_put_back(n, &l1, &t->l1_changed);
        }
        /* What the entries lead to comes first: data, and new tables of zeroes. Those need not have their entries when the L1
         * table names them, so that no sync is needed between the two kinds. */
        if (r >= 0 && l1.slices.count + l2.slices.count > 0)
                r = node_sync(n);
        if (r >= 0)
                r = table_batch_write(n, &l2);
        if (r >= 0)
                r = table_batch_write(n, &l1);
        if (r < 0)
                LOCKED(&t->lock)
                {
                        table_batch_put_back(n, &l1, &t->l1_changed);
                        table_batch_put_back(n, &l2, &t->l2_changed);
                }
        table_batch_done(n, &l1);
        table_batch_done(n, &l2);
        return r;
}

int table_tree_commit(Node *n, TableTree *t)
{
        int r = 0;

        LOCKED(&t->commit_lock)
        {
                r = table_tree_commit_locked(n, t);
        }
        return r;
}

/* Commits when too much has changed since the last time. */
static int table_tree_make_room(Node *n, TableTree *t)
{
        int r = 0;

        if (!table_tree_is_full(t))
                return 0;
        LOCKED(&t->commit_lock)
        {
                /* Another thread may have done it while this one waited. */
                if (table_tree_is_full(t))
                        r = table_tree_commit_locked(n, t);
        }
        return r;
}

int table_tree_alloc(Node *n, TableTree *t, uint64_t off, uint64_t len, Extent *ret)
{
        uint64_t first = round_down(off, table_tree_cluster_size(t)), table = 0, count = 0;
        TableSlice slice = { 0 };
        uint8_t *entry = NULL;

        int r = table_tree_make_room(n, t);
        if (r >= 0)
                r = table_tree_own_table(n, t, off, &table);
        if (r >= 0)
                r = table_tree_get_entries(n, t, table, first, &slice, &entry, &count);
        if (r < 0)
                return r;
        count = u64_min(count, div_round_up(off + len - first, table_tree_cluster_size(t)));
        LOCKED(&t->lock)
        {
                r = table_tree_place(n, t, first, count, entry, ret);
        }
        cache_put(n->cache, slice.entry);
        return r;
}

/* Sets `count` entries from that for `off` on, which one slice holds: the first to `value`, each next one to `step`
 * more. */
static int table_tree_set_entries(
        Node *n, TableTree *t, uint64_t off, uint64_t count, uint64_t value, uint64_t step)
{
        uint64_t table = 0, room = 0;
        TableSlice slice = { 0 };
        uint8_t *entry = NULL;

        int r = table_tree_own_table(n, t, off, &table);
        if (r >= 0)
                r = table_tree_get_entries(n, t, table, off, &slice, &entry, &room);
        if (r < 0)
                return r;
        assert(count <= room);
        LOCKED(&t->lock)
        {
                r = table_slices_reserve(&t->l2_changed);
                for (uint64_t i = 0; i < count && r >= 0; i++)
                        t->ops->put(entry + i * 8, value + i * step);
                if (r >= 0)
                        table_slices_keep(n, &t->l2_changed, &slice);
        }
        if (r < 0)
                cache_put(n->cache, slice.entry);
        return r;
}

int table_tree_publish(Node *n, TableTree *t, const Extent *e)
{
        uint64_t cluster = table_tree_cluster_size(t);

        return table_tree_set_entries(n, t, e->off, e->len / cluster, e->pos, cluster);
}

void table_tree_release(Node *n, TableTree *t, const Extent *e)
{
        LOCKED(&t->lock)
        {
                table_tree_untake(n, t, e->pos, e->len);
        }
}

/* Sets all entries for [off, end), whole clusters, to `value`. */
static int table_tree_set_range(Node *n, TableTree *t, uint64_t off, uint64_t end, uint64_t value)
{
        uint64_t span = u64_min(table_tree_table_len(t), TABLE_TREE_SLICE) / 8 << t->cluster_bits;
        int r = 0;

        while (off < end && r >= 0) {
                uint64_t to = u64_min(end, round_down(off, span) + span);
                uint64_t count = div_round_up(to - off, table_tree_cluster_size(t));
                r = table_tree_make_room(n, t);
                if (r >= 0)
                        r = table_tree_set_entries(n, t, off, count, value, 0);
                off = to;
        }
        return r;
}

/* Makes what one answer of map covers, whole clusters up to `end`, read as zeroes. 1: done; 0: it cannot be. */
static int table_tree_discard_extent(Node *n, TableTree *t, const Extent *e, uint64_t end)
{
        bool below = n->backing || n->backing_name;
        int r = 0;

        switch (e->kind) {
        case EXTENT_HOLE:
                return 1;
        case EXTENT_BELOW:
        case EXTENT_CODED:
                if (e->kind == EXTENT_BELOW && !below)
                        return 1;
                if (below && t->ops->zero == TABLE_ZERO_NONE)
                        return 0;
                r = table_tree_set_range(n, t, e->off, end, below ? t->ops->zero_entry : 0);
                if (r >= 0 && e->kind == EXTENT_CODED)
                        cache_drop(n->cache, &(CacheKey){ n, CACHE_DECODED, e->cookie });
                break;
        case EXTENT_DATA:
                if (!e->in_place)
                        return -EIO;
                /* Its place stays its own: what is not referred to would be lost for ever. */
                r = store_punch(e->store, e->pos, end - e->off);
                if (r == -EOPNOTSUPP)
                        return 0;
                break;
        }
        return r < 0 ? r : 1;
}

int table_tree_discard(
        Node *n, TableTree *t, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        uint64_t cluster = table_tree_cluster_size(t), end = off + len;
        uint64_t first = round_up(off, cluster), at = first;
        /* Behind the end of the disk there is nothing to keep. */
        uint64_t last = end == n->size ? end : round_down(end, cluster);
        int r = 1;

        while (at < last && r == 1) {
                Extent e = { 0 };
                r = table_tree_map(n, t, at, last - at, &e);
                if (r < 0)
                        break;
                /* From here on, and as far as it goes. */
                e.pos += at - e.off;
                e.len -= at - e.off;
                e.off = at;
                uint64_t to = u64_min(last, e.off + e.len);
                r = table_tree_discard_extent(n, t, &e, to);
                if (r == 1)
                        at = to;
        }
        if (r < 0)
                return r;
        *ret_off = first;
        *ret_len = at > first ? at - first : 0;
        return 0;
}

/* Clears what the entries of one slice, from `entry` on, have a place for. */
static int table_tree_clear_entries(
        Node *n, TableTree *t, uint64_t off, uint64_t count, const uint8_t *entry)
{
        uint64_t cluster = table_tree_cluster_size(t);
        int r = 0;

        for (uint64_t i = 0; i < count && r >= 0; i++) {
                Extent e;
                r = table_tree_classify(n, t, off + i * cluster, entry + i * 8, &e);
                if (r < 0 || e.kind == EXTENT_BELOW || e.kind == EXTENT_HOLE)
                        continue;
                if (e.kind == EXTENT_CODED) {
                        r = table_tree_set_range(n, t, e.off, e.off + cluster, 0);
                        continue;
                }
                if (!e.in_place)
                        return -EIO;
                r = store_punch(e.store, e.pos, cluster);
                if (r == -EOPNOTSUPP)
                        r = store_zero(e.store, e.pos, cluster);
        }
        return r;
}

int table_tree_clear(Node *n, TableTree *t, uint64_t off, uint64_t end)
{
        uint64_t cluster = table_tree_cluster_size(t);
        int r = 0;

        off = round_up(off, cluster);
        while (off < end && r >= 0 && off >> table_tree_l1_bits(t) < t->l1_count) {
                uint64_t table = 0, count = 0;
                r = table_tree_find_table(n, t, off, &table);
                if (r < 0)
                        return r;
                if (table == 0) {
                        uint64_t span = UINT64_C(1) << table_tree_l1_bits(t);
                        off = round_down(off, span) + span;
                        continue;
                }
                TableSlice slice = { 0 };
                uint8_t *entry = NULL;
                r = table_tree_get_entries(n, t, table, off, &slice, &entry, &count);
                if (r < 0)
                        return r;
                count = u64_min(count, div_round_up(end - off, cluster));
                r = table_tree_clear_entries(n, t, off, count, entry);
                cache_put(n->cache, slice.entry);
                off += count * cluster;
        }
        return r;
}

int table_tree_move_l1(Node *n, TableTree *t, uint64_t count)
{
        uint8_t piece[TABLE_TREE_SLICE];
        uint64_t pos = 0, len = t->l1_count * 8;
        int r = 0;

        /* Nothing may be left that is to be written to the old one. */
        r = table_tree_commit(n, t);
        if (r < 0)
                return r;
        LOCKED(&t->lock)
        {
                r = table_tree_take(n, t, count * 8, &pos);
        }
        for (uint64_t done = 0; done < len && r >= 0;) {
                size_t part = (size_t)u64_min(len - done, sizeof(piece));
                r = store_read(n->store, piece, part, t->l1_pos + done);
                if (r >= 0)
                        r = store_write(n->store, piece, part, pos + done);
                done += part;
        }
        if (r < 0)
                return r == -ENODATA ? -EIO : r;
        t->l1_pos = pos;
        t->l1_count = count;
        t->l1_len = count * 8;
        return 0;
}
