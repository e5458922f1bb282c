/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of an image that maps its clusters in two steps and only ever grows: an L1 table of places of L2 tables,
 * each entry of which (8 bytes, 0: nothing yet) stands for one guest cluster, and new clusters at the end of the file.
 * QED and qcow version 1 are such images; a driver owns a TableTree in its state and says what entries mean.
 *
 * Pieces of both kinds of tables are in the cache of the chain. Changed ones stay in use there until a commit, which has
 * this order, so that a crash in any place leaves leaks at worst:
 *
 *     guest data, new tables of zeroes → sync → entries of both kinds of tables → the sync of the caller
 *
 * Nothing is ever shared between guest clusters, and what was given up is not used again while the image is open.
 *
 * Any thread, with `layout` of the node held as in format.h. Locks: commit_lock, then lock; the cache's own are
 * innermost. Both may be held during I/O on tables, never while guest data moves.
 */
#pragma once

#include "base/bits.h"
#include "base/err.h"
#include "block/cache.h"
#include "block/extent.h"
#include "block/node.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        /* What the cache holds of a table at a time. */
        TABLE_TREE_SLICE = 4096,
};

/* What an L2 entry may become by itself, without a place of its own. */
typedef enum TableZero {
        TABLE_ZERO_NONE,  /* the format has no mark for zeroes over a layer below */
        TABLE_ZERO_ENTRY, /* zero_entry is one */
} TableZero;

typedef struct TableTreeOps {
        /* Entries as numbers: of the L1 table, of L2 tables. */
        uint64_t (*get_table)(const void *entry);
        void (*put_table)(void *entry, uint64_t value);
        uint64_t (*get)(const void *entry);
        void (*put)(void *entry, uint64_t value);

        /* What the L2 entry of the guest cluster at `off` means: sets kind, pos, cookie and in_place of `ret`; the tree
         * does the rest, and takes in_place back where something else lies at pos. EIO: damaged. */
        int (*classify)(Node *n, uint64_t off, uint64_t entry, Extent *ret);

        /* Can there be an L2 table at `pos`, an L1 entry that is not 0? 1 yes, 0 no, and the entry is to be taken for
         * 0, which only a reader may say; EIO: damaged. */
        int (*has_table)(Node *n, uint64_t pos);

        /* Writes to the header how large the disk is, and where its L1 table lies now: all of it or nothing, whatever happens
         * meanwhile. What has to be on the disk before that is there. */
        int (*write_header)(Node *n, uint64_t size);

        TableZero zero;
        uint64_t zero_entry;
} TableTreeOps;

typedef struct TableSlice {
        CacheEntry *entry;
        uint64_t pos;
        size_t len; /* what of it belongs to the table */
} TableSlice;

typedef struct TableSliceList {
        TableSlice *slices; /* owned */
        size_t count, room;
} TableSliceList;

typedef struct TableTree {
        /* Fixed after open; the driver sets these before table_tree_init. */
        const TableTreeOps *ops;
        uint32_t cluster_bits;
        uint32_t table_bits; /* log2 of the entries of an L2 table */
        uint64_t header_len; /* no table and no cluster lies below it */
        uint64_t l1_max;     /* entries that an L1 table can have */

        /* Change while layout is held exclusively only: as many entries as the disk needs, and the bytes that the table
         * takes in the file. */
        uint64_t l1_pos, l1_count, l1_len;

        /* What the header says of the disk's size, which the driver sets, too, and what it is to say. Change in a resize and in
         * a flush. */
        uint64_t size_in_header, disk_size;
        bool header_changed;

        uint64_t file_size; /* of the store when it was opened */
        bool writes;        /* table_tree_begin_writing was called */
        bool has_locks;

        pthread_mutex_t commit_lock; /* one commit at a time */
        pthread_mutex_t lock;        /* all below, and the bytes of slices when somebody writes */
        TableSliceList l1_changed, l2_changed;
        uint64_t *tables; /* owned: places of the L2 tables, ascending */
        size_t table_count, table_room;
        uint64_t reserved; /* bytes of memory that the cache has set aside for `tables` */

        /* Whole clusters: where the next one goes. From here on everything reads as zeroes; the file is as long once
         * anything was taken. Read without a lock. */
        atomic_uint_fast64_t end;
} TableTree;

static inline uint64_t table_tree_cluster_size(const TableTree *t)
{
        return UINT64_C(1) << t->cluster_bits;
}

/* log2 of the guest bytes behind one L1 entry. */
static inline uint32_t table_tree_l1_bits(const TableTree *t)
{
        return t->cluster_bits + t->table_bits;
}

static inline uint64_t table_tree_table_len(const TableTree *t)
{
        return UINT64_C(8) << t->table_bits;
}

/* How many entries of the L1 table a disk of this size needs. */
static inline uint64_t table_tree_count_l1(const TableTree *t, uint64_t size)
{
        return div_round_up(size, UINT64_C(1) << table_tree_l1_bits(t));
}

int table_tree_init(Node *n, TableTree *t, Err *err);

/* Accepts one that was never initialised. */
void table_tree_done(Node *n, TableTree *t);

/* Finds all L2 tables, so that nobody's data is written over them. EBADMSG: they lie over each other, the L1 table or
 * the header, or where no table can be. EUCLEAN: an entry leads to where new clusters will be. */
int table_tree_begin_writing(Node *n, TableTree *t, Err *err);

/* As the callbacks of a format. */
int table_tree_map(Node *n, TableTree *t, uint64_t off, uint64_t len, Extent *ret);
int table_tree_alloc(Node *n, TableTree *t, uint64_t off, uint64_t len, Extent *ret);
int table_tree_publish(Node *n, TableTree *t, const Extent *e);
void table_tree_release(Node *n, TableTree *t, const Extent *e);
int table_tree_discard(
        Node *n, TableTree *t, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);

/* Writes what has changed, in order, but for the last sync: that is the caller's. */
int table_tree_write_back(Node *n, TableTree *t);

/* To whole sectors of the driver's. What a shorter disk has cut off reads as zeroes or what is below, should it get longer again.
 * EFBIG: more than the tables can map. Layout is held exclusively. */
int table_tree_resize(Node *n, TableTree *t, uint64_t size);

/* The rest is for table-tree*.c. */

/* As table_tree_write_back, but for the header. */
int table_tree_commit(Node *n, TableTree *t);

/* Whatever lies in whole clusters of [off, end) reads as zeroes or what is below; places are kept. Layout is held
 * exclusively, and the range is not part of the disk. */
int table_tree_clear(Node *n, TableTree *t, uint64_t off, uint64_t end);

/* Takes entries of the L1 table into use, up to `count`: what stands there already are tables or it is EIO. Layout is held
 * exclusively. */
int table_tree_extend_l1(Node *n, TableTree *t, uint64_t count);

/* Copies the L1 table to the end of the file, with room for `count` entries; the driver writes to the header where it lies
 * now, after a sync. Layout is held exclusively. */
int table_tree_move_l1(Node *n, TableTree *t, uint64_t count);

/* Do the two ranges touch? Neither wraps. */
static inline bool table_ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
        return a < b + b_len && b < a + a_len;
}

/* One more L2 table, behind all others. ENOSPC: there is no memory for it. Wants the lock. */
int table_tree_note_table(Node *n, TableTree *t, uint64_t pos);

/* The slice of the table of `len` bytes at `table` with the entry `index`, in
 * use, and that entry. */
int table_tree_get_slice(Node *n,
                         TableTree *t,
                         uint64_t table,
                         uint64_t len,
                         uint64_t index,
                         TableSlice *ret,
                         uint8_t **ret_entry);

/* Where the L2 table for `off` lies; 0: there is none. */
int table_tree_find_table(Node *n, TableTree *t, uint64_t off, uint64_t *ret);

/* Classifies one entry for the cluster at `off`; in_place only where nothing else lies. Wants the lock when somebody
 * writes. */
int table_tree_classify(Node *n, TableTree *t, uint64_t off, const uint8_t *entry, Extent *ret);
