/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Before anybody writes: where the tables lie is written down, and no entry may lead to where new clusters will be, past
 * the end of the file. Such an image was cut off; a new cluster would show in two places of the disk.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table-tree.h"
#include "block/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
        TREE_PIECE = 65536, /* bytes of a table that are looked at in one go */
};

/* Makes room for one more table in the list. */
static int table_tree_grow_list(Node *n, TableTree *t, Err *err)
{
        if (t->table_count < t->table_room)
                return 0;
        size_t room = 2 * t->table_room + 64;
        uint64_t more = (room - t->table_room) * sizeof(*t->tables);
        int r = table_reserve(n->cache, more, "list of L2 tables", err);
        if (r < 0)
                return r;
        uint64_t *grown = reallocarray(t->tables, room, sizeof(*grown));
        if (!grown) {
                cache_release(n->cache, more);
                return err_set(err, ENOMEM, "list of L2 tables: %m");
        }
        t->tables = grown;
        t->table_room = room;
        t->reserved += more;
        return 0;
}

int table_tree_note_table(Node *n, TableTree *t, uint64_t pos)
{
        int r = table_tree_grow_list(n, t, NULL);
        if (r < 0)
                return r == -EFBIG ? -ENOSPC : r;
        t->tables[t->table_count++] = pos;
        return 0;
}

/* Notes the table of one entry, if there is one. */
static int table_tree_note_entry(Node *n, TableTree *t, uint64_t index, uint64_t pos, Err *err)
{
        uint64_t len = table_tree_table_len(t);

        if (pos == 0)
                return 0;
        int r = t->ops->has_table(n, pos);
        if (r == 0)
                return 0;
        if (r < 0 || pos < t->header_len || !in_range(pos, len, t->file_size) ||
            table_ranges_overlap(pos, len, t->l1_pos, t->l1_len))
                return err_set(err, EBADMSG,
                               "entry %" PRIu64 " of the L1 table (%" PRIu64
                               ") is no place for an L2 table, so it can only be opened read-only",
                               index, pos);
        r = table_tree_grow_list(n, t, err);
        if (r >= 0)
                t->tables[t->table_count++] = pos;
        return r;
}

static int compare_positions(const void *a, const void *b)
{
        uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

        return (one > other) - (one < other);
}

/* Notes the tables of the L1 entries from `first` on. */
static int table_tree_note_l1(Node *n, TableTree *t, uint64_t first, Err *err)
{
        for (uint64_t i = first; i < t->l1_count;) {
                TableSlice slice = { 0 };
                uint8_t *entry = NULL;
                int r = table_tree_get_slice(n, t, t->l1_pos, t->l1_count * 8, i, &slice, &entry);
                if (r < 0)
                        return err_set(err, -r, "cannot read the L1 table: %m");
                uint64_t end = u64_min(t->l1_count,
                                       round_down(i, TABLE_TREE_SLICE / 8) + TABLE_TREE_SLICE / 8);
                for (; i < end && r >= 0; i++, entry += 8)
                        r = table_tree_note_entry(n, t, i, t->ops->get_table(entry), err);
                cache_put(n->cache, slice.entry);
                if (r < 0)
                        return r;
        }
        if (t->table_count > 0)
                qsort(t->tables, t->table_count, sizeof(*t->tables), compare_positions);
        for (size_t i = 1; i < t->table_count; i++)
                if (t->tables[i] - t->tables[i - 1] < table_tree_table_len(t))
                        return err_set(err, EBADMSG,
                                       "the L2 tables at %" PRIu64 " and %" PRIu64
                                       " lie over each other, so it can only be opened read-only",
                                       t->tables[i - 1], t->tables[i]);
        return 0;
}

static int table_tree_look_at_entry(
        Node *n, TableTree *t, const uint8_t *entry, uint64_t table, Err *err)
{
        Extent e;

        if (t->ops->get(entry) == 0)
                return 0;
        int r = table_tree_classify(n, t, 0, entry, &e);
        if (r >= 0 && (e.kind != EXTENT_DATA ||
                       in_range(e.pos, table_tree_cluster_size(t), atomic_load(&t->end))))
                return 0;
        return err_set(
                err, EUCLEAN,
                "entry %" PRIu64 " in the L2 table at %" PRIu64
                " leads to no cluster in the file, which may have been cut off: it can only be "
                "opened read-only, or be repaired where 'rawview check -r all' can do that",
                t->ops->get(entry), table);
}

/* Looks at all entries of the table at `pos`. What is a hole of the file is skipped, so that it takes no longer than the file
 * is large on the host. */
static int table_tree_look_at_table(Node *n, TableTree *t, uint64_t pos, uint8_t *piece, Err *err)
{
        uint64_t len = table_tree_table_len(t);
        StoreRun run = { 0 };

        for (uint64_t done = 0; done < len;) {
                int r = store_find_run(n->store, pos + done, &run);
                if (r < 0)
                        return err_set(err, -r, "cannot look where the file has holes: %m");
                uint64_t part = u64_min(run.end - (pos + done), len - done);
                part = u64_max(round_down(part, 8), 8);
                if (!run.is_hole) {
                        part = u64_min(part, TREE_PIECE);
                        r = store_read(n->store, piece, (size_t)part, pos + done);
                        if (r < 0)
                                return err_set(err, -r,
                                               "cannot read the L2 table at %" PRIu64 ": %m", pos);
                        for (uint64_t at = 0; at < part && r >= 0; at += 8)
                                r = table_tree_look_at_entry(n, t, piece + at, pos, err);
                        if (r < 0)
                                return r;
                }
                done += part;
        }
        return 0;
}

static int table_tree_look_at_all(Node *n, TableTree *t, Err *err)
{
        _cleanup_free_ uint8_t *piece = malloc(TREE_PIECE);
        int r = piece ? 0 : err_set(err, ENOMEM, "%m");

        for (size_t i = 0; i < t->table_count && r >= 0; i++)
                r = table_tree_look_at_table(n, t, t->tables[i], piece, err);
        return r;
}

int table_tree_begin_writing(Node *n, TableTree *t, Err *err)
{
        int r = table_tree_note_l1(n, t, 0, err);
        if (r < 0)
                return r;
        atomic_store(&t->end, round_up(t->file_size, table_tree_cluster_size(t)));
        r = table_tree_look_at_all(n, t, err);
        if (r < 0)
                return r;
        t->disk_size = t->size_in_header;
        t->writes = true;
        return 0;
}

int table_tree_extend_l1(Node *n, TableTree *t, uint64_t count)
{
        uint64_t before = t->l1_count;
        size_t tables = t->table_count;

        if (count <= before)
                return 0;
        t->l1_count = count;
        int r = table_tree_note_l1(n, t, before, NULL);
        if (r >= 0)
                return 0;
        t->l1_count = before;
        /* Those that were added are no danger in the list, but it has to be in order. */
        if (t->table_count > tables)
                qsort(t->tables, t->table_count, sizeof(*t->tables), compare_positions);
        return r == -EBADMSG ? -EIO : r;
}
