/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver keeps of an image that is written to. Private to this folder; owned by the Qcow2, NULL in one that
 * is only read.
 *
 * Changed pieces of L2 tables and refcount blocks stay in use in the cache of the chain until a commit has written
 * them. Guest data goes to the file at once. So a commit has this order, and a crash in any place leaves leaks at worst:
 *
 *     refcount blocks, whole new tables → sync → pointers to new blocks and tables → sync
 *     → L2 slices, L1 entries → sync → the size of the disk → sync → places given up are counted as free
 *
 * Syncs with nothing between them are left out: data in place needs one for a flush, new data two.
 *
 * Cluster numbers are host positions divided by the cluster size.
 *
 * Locks: commit_lock, then lock, then one of slice_locks; the cache's own are innermost. commit_lock and lock may be
 * held during I/O on tables, never while guest data moves. map takes only a slice lock.
 */
#pragma once

#include "block/cache.h"
#include "format/qcow2/qcow2.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
        QCOW2_SLICE_LOCKS = 16,
        QCOW2_CACHE_BLOCK = 2, /* the cache's kind of a piece of a refcount block */

        /* When a commit is due before more is changed: bytes of changed slices of each kind, stretches given up. */
        QCOW2_DIRTY_LEN_MAX = 2 << 20,
        QCOW2_DIRTY_COUNT_MAX = 4096,
        QCOW2_FREED_COUNT_MAX = 4096,

        /* And clusters given up, log2 of bytes: until a commit, others make the file longer. */
        QCOW2_FREED_LEN_BITS = 32,

        /* Stretches of free clusters that are remembered; the others are found by searching. */
        QCOW2_REUSABLE_COUNT_MAX = 1024,

        QCOW2_L1_SECTOR_ENTRIES = QCOW2_SECTOR / 8, /* of the L1 table, what is written at once */
};

/* The cache's marks of a slice. */
enum {
        QCOW2_MARK_CHANGED = 1 << 0, /* it is in a list of the writer's */
        QCOW2_MARK_CHECKED = 1 << 1, /* a refcount block that lies over nothing else */
};

/* Slices that have changed. */
typedef struct Qcow2SliceList {
        Qcow2Slice *slices;
        size_t count, room;
} Qcow2SliceList;

/* Host clusters in a row. */
typedef struct Qcow2Row {
        uint64_t first, count;
        bool punch; /* give the space back to the host when nothing refers to them any more */
} Qcow2Row;

typedef struct Qcow2RowList {
        Qcow2Row *rows;
        size_t count, room;
        uint64_t added; /* clusters, since the list began */
} Qcow2RowList;

/* A set of cluster numbers that may say yes wrongly, never no. Read without a lock, added to under the writer's. */
typedef struct Qcow2Filter {
        atomic_uint_fast64_t *words; /* owned */
        uint64_t mask;               /* of bit numbers */
} Qcow2Filter;

/* A range of the file that holds metadata. */
typedef struct Qcow2Range {
        uint64_t pos, len;
} Qcow2Range;

/* The places in the file that no guest data and no wrong pointer may lead to. */
typedef struct Qcow2Guard {
        /* Fixed after open: header, snapshot table and snapshots' L1 tables, bitmap directory; sorted by pos. */
        Qcow2Range *ranges; /* owned */
        size_t range_count;

        /* These move; changed under the writer's lock. */
        atomic_uint_fast64_t l1_pos, l1_len, refcount_table_pos, refcount_table_len;

        Qcow2Filter tables; /* the active L2 tables */
        Qcow2Filter blocks; /* the refcount blocks */
} Qcow2Guard;

typedef struct Qcow2Writer {
        pthread_mutex_t commit_lock; /* one commit at a time */
        pthread_mutex_t lock;        /* all below, except where something else is said */
        pthread_mutex_t slice_locks[QCOW2_SLICE_LOCKS]; /* the bytes of L2 slices, by position */

        /* False until the image has been told that somebody writes to it who does not know all that it holds. */
        atomic_bool prepared;

        uint64_t *refcount_table; /* owned */
        uint64_t refcount_table_count;
        uint64_t refcount_table_pos;
        bool refcount_table_moved; /* not yet where the header says */
        uint64_t *new_blocks;      /* owned: indices of entries that are not yet in the file */
        size_t new_block_count, new_block_room;

        uint8_t *l1_dirty; /* owned: one byte for each QCOW2_L1_SECTOR_ENTRIES entries */
        size_t l1_dirty_count;
        uint64_t l1_pos;
        bool l1_moved;      /* not yet where, or as long as, the header says */
        bool size_changed;  /* not yet what the header says */
        uint64_t disk_size; /* what the header is to say */

        Qcow2SliceList tables, blocks; /* changed */
        Qcow2RowList freed;    /* given up since the last commit began; still counted as used */
        Qcow2RowList reusable; /* refcount 0 */
        uint64_t cursor;       /* where the search for free clusters goes on */

        /* Nothing from here on was ever written, so it reads as zeroes; what we take into use makes the file as long.
         * Bytes; read without a lock in map. */
        atomic_uint_fast64_t file_end;

        Qcow2Guard guard;
} Qcow2Writer;

/* writer.c */
int qcow2_writer_open(Node *n, Err *err);
void qcow2_writer_close(Node *n);

/* A copy of the refcount table with room for more entries, in memory that is reserved, and in the file at `pos`. ENOSPC
 * when there is no such memory. */
int qcow2_copy_refcount_table(Node *n, uint64_t clusters, uint64_t pos, uint64_t **ret);

/* Keeps a changed slice, and the use of it, until it has been committed; it may be listed already. Puts it in any
 * case. Wants the lock. */
int qcow2_slice_keep(Node *n, Qcow2SliceList *list, CacheEntry *entry, uint64_t pos);
pthread_mutex_t *qcow2_slice_lock(Qcow2Writer *w, uint64_t pos);

/* Adds to a list, as part of its last row where they are neighbours. -ENOMEM. */
int qcow2_row_add(Qcow2RowList *list, uint64_t first, uint64_t count, bool punch);

/* Room for one more row, so that the next qcow2_row_add cannot fail. */
int qcow2_row_reserve(Qcow2RowList *list, size_t more);

/* guard.c */
int qcow2_guard_init(Node *n, Err *err);
void qcow2_guard_done(Qcow2Guard *g);

/* May the cluster at `pos` be metadata? Never says no wrongly. Needs no lock. */
bool qcow2_guard_suspects(const Qcow2 *q, uint64_t pos);

/* Is the cluster at `pos` metadata of any kind? Wants the lock. */
bool qcow2_guard_hits(const Qcow2 *q, uint64_t pos);

/* May the cluster at `pos` be written as L2 table, as refcount block? Wants the lock. */
bool qcow2_guard_allows_table(const Qcow2 *q, uint64_t pos);
bool qcow2_guard_allows_block(const Qcow2 *q, uint64_t pos);

/* One of the two tables that move. Wants the lock. */
void qcow2_guard_move(atomic_uint_fast64_t *at_pos,
                      atomic_uint_fast64_t *at_len,
                      uint64_t pos,
                      uint64_t len);

void qcow2_filter_add(Qcow2Filter *f, uint64_t cluster);

/* Bytes of memory of a filter for `count` clusters. */
uint64_t qcow2_filter_len(uint64_t count);

/* Sizes a filter anew for `count` clusters and empties it. */
int qcow2_filter_init(Qcow2Filter *f, uint64_t count);

/* refcount.c; all want the lock. */

/* The entry for this index of the refcount table is to be written with the next commit. */
int qcow2_note_new_block(Qcow2Writer *w, uint64_t index);

/* Takes free clusters, at least one and at most `want` in a row, and counts them as used. *ret_zeroed: they read as
 * zeroes. ENOSPC when the format has no more room. */
int qcow2_take(Node *n, uint64_t want, uint64_t *ret_first, uint64_t *ret_count, bool *ret_zeroed);

/* Takes exactly `count` in a row, past the end of the file: they read as zeroes. */
int qcow2_take_row(Node *n, uint64_t count, uint64_t *ret_first);

/* Makes a cluster that was taken for a table read as zeroes, also for the cache. */
int qcow2_clear_cluster(Node *n, uint64_t pos, bool zeroed);

/* How often the cluster is referred to, by the image's own count. */
int qcow2_refcount_get(Node *n, uint64_t cluster, uint64_t *ret);

/* One reference less to each of a row; what falls to 0 may be used again. After an error the row is what is left. */
int qcow2_refcount_drop(Node *n, Qcow2Row *row);

/* prepare.c */

/* Before the first change: features that a writer has to know are dropped, dirty bitmaps marked as in use. 1: it
 * was done just now. */
int qcow2_prepare(Node *n);

/* Before the size changes: bitmaps that do not fit the new size are dropped, all of them. */
int qcow2_prepare_size(Node *n, uint64_t size);

/* The image is damaged in a way that makes writing dangerous: says so in the header and ends all writing. Always
 * -EIO. */
int qcow2_mark_corrupt(Node *n);

/* table.c */

/* The L2 table for guest offset `off`, one that may be written to: made or copied if need be. */
int qcow2_own_table(Node *n, uint64_t off, uint64_t *ret_pos);

/* The L1 entry has no table any more. Wants the lock. */
void qcow2_l1_clear(Node *n, uint64_t index);

/* Writes the entries from `from` to `count` of the table at `pos`, a piece at a time; `get` gives one. */
typedef uint64_t Qcow2GetEntry(const void *table, uint64_t index);
int qcow2_write_entries(Node *n,
                        uint64_t pos,
                        uint64_t from,
                        uint64_t count,
                        Qcow2GetEntry *get,
                        const void *table);

/* What an entry refers to is given up. Wants the lock, and room for a row in `freed`. */
void qcow2_give_up(Node *n, uint64_t entry);

/* commit.c */

/* Writes what has changed, in order. 1: and synced it. */
int qcow2_commit(Node *n);

/* Commits when too much has changed since the last time. */
int qcow2_make_room(Node *n);

/* raw-file.c */

/* Has the image promised that its data file is the disk? */
bool qcow2_is_raw_file(const Qcow2 *q);

/* Makes a range of the data file zeroes. */
int qcow2_raw_file_clear(Node *n, uint64_t off, uint64_t len);

/* All entries of the slice for `off` say that their clusters lie in the data file, and the disk knows it. The slice
 * belongs to the table at `table`. */
int qcow2_raw_file_settle(Node *n, uint64_t table, uint64_t off);

/* alloc.c, discard.c, resize.c: the callbacks. */
int qcow2_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret);
int qcow2_publish(Node *n, const Extent *e);
void qcow2_release(Node *n, const Extent *e);
int qcow2_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);
int qcow2_resize(Node *n, uint64_t size);

/* What becomes of the entries for whole guest clusters in [off, end), when what they refer to is given up. Layout is
 * held exclusively. */
typedef enum Qcow2Clear {
        QCOW2_CLEAR_ALL,    /* all read as zeroes, whatever lies below */
        QCOW2_CLEAR_OWN,    /* those that do not show what lies below read as zeroes */
        QCOW2_CLEAR_FORGET, /* as if they had never been written */
} Qcow2Clear;

/* Is there a layer below, or is one to come? */
bool qcow2_has_below(const Node *n);

int qcow2_clear(Node *n, uint64_t off, uint64_t end, Qcow2Clear how);
