/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disk gets longer or shorter. What the header says is written by the next flush, but for a disk that gets shorter: nobody
 * else's driver expects anything behind the end, so that the header says first that the rest is gone.
 */
#include "base/bits.h"
#include "block/table-tree.h"

#include <errno.h>

static int table_tree_write_header(Node *n, TableTree *t)
{
        int r = node_sync(n);
        if (r >= 0)
                r = t->ops->write_header(n, t->disk_size);
        if (r < 0)
                return r;
        t->size_in_header = t->disk_size;
        t->header_changed = false;
        return 0;
}

int table_tree_write_back(Node *n, TableTree *t)
{
        int r = table_tree_commit(n, t);
        return r >= 0 && t->header_changed ? table_tree_write_header(n, t) : r;
}

static void table_tree_note_size(TableTree *t, uint64_t size)
{
        t->disk_size = size;
        t->header_changed = true;
}

/* What a longer disk would bring to light is cleared first. Where the L1 table has no room it gets another place. */
static int table_tree_grow(Node *n, TableTree *t, uint64_t size)
{
        uint64_t count = table_tree_count_l1(t, size);
        bool has_room = count <= t->l1_len / 8;

        if (count > t->l1_max)
                return -EFBIG;
        int r = has_room ? table_tree_extend_l1(n, t, count) : 0;
        if (r >= 0)
                r = table_tree_clear(n, t, n->size, size);
        if (r >= 0 && !has_room)
                r = table_tree_move_l1(n, t, count);
        if (r >= 0)
                table_tree_note_size(t, size);
        return r;
}

/* What cannot be cleared now is cleared when the disk gets longer again. */
static int table_tree_shrink(Node *n, TableTree *t, uint64_t size)
{
        uint64_t before = t->disk_size;

        /* Growing is taken back before the header knew of it. */
        if (size >= t->size_in_header) {
                table_tree_note_size(t, size);
                return 0;
        }
        int r = table_tree_commit(n, t);
        if (r < 0)
                return r;
        table_tree_note_size(t, size);
        r = table_tree_write_header(n, t);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0) {
                /* Whatever the header says now, the next flush makes it right. */
                table_tree_note_size(t, before);
                return r;
        }
        (void)table_tree_clear(n, t, size, n->size);
        return 0;
}

int table_tree_resize(Node *n, TableTree *t, uint64_t size)
{
        return size > n->size ? table_tree_grow(n, t, size) : table_tree_shrink(n, t, size);
}
