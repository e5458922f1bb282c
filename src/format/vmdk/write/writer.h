/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver keeps of an image that is written to. Private to this folder; owned by the Vmdk, NULL in one that is
 * only read.
 *
 * Changed tables, and pieces of directories, stay in use in the cache of the chain until a commit has written them. Guest
 * data goes to the file at once, new grains behind its end. So a commit has this order, and a crash in any place leaves
 * leaks at worst:
 *
 *     guest data, the length of the file → sync → tables, both copies, and directories → the caller's sync
 *
 * A table that is new is a hole of zeroes that the first sync makes durable, so that no entry of a directory leads to what
 * is not there. The two copies of a table need no order between them: both refer to what is durable.
 *
 * Before the first change the descriptor gets another content ID, so that snapshots of this disk notice.
 *
 * Locks: commit_lock, then lock; the cache's own are innermost. Both may be held during I/O on tables, never while guest
 * data moves. map takes only lock.
 */
#pragma once

#include "block/cache.h"
#include "format/vmdk/vmdk.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
        /* When a commit is due before more is changed: bytes of changed tables. */
        VMDK_DIRTY_LEN_MAX = 2 << 20,

        /* The cache's mark of a piece that is in the writer's list. */
        VMDK_MARK_CHANGED = 1,
};

/* A piece of metadata that has changed. */
typedef struct VmdkPieceChange {
        CacheEntry *entry; /* in use */
        const VmdkExtent *x;
        uint64_t pos, len;
        uint64_t copy_pos; /* where it lies once more; 0: nowhere */
} VmdkPieceChange;

typedef struct VmdkChangeList {
        VmdkPieceChange *changes; /* owned */
        size_t count, room;
        uint64_t len; /* bytes of all */
} VmdkChangeList;

typedef struct VmdkWriter {
        pthread_mutex_t commit_lock; /* one commit at a time, and one who changes the content ID */
        pthread_mutex_t lock;        /* the list, the bytes of what is in it, and where files end */
        atomic_bool prepared;        /* the content ID is another one than before */
        VmdkChangeList changed;
} VmdkWriter;

/* writer.c */
int vmdk_writer_open(Node *n, Err *err);
void vmdk_writer_close(Node *n);

/* May data be written over where it lies? */
static inline bool vmdk_writes_in_place(const VmdkWriter *w)
{
        return w && atomic_load_explicit(&w->prepared, memory_order_acquire);
}

/* Around a look at entries of tables and directories; `w` may be NULL. */
static inline void vmdk_entries_lock(VmdkWriter *w)
{
        if (w)
                pthread_mutex_lock(&w->lock);
}

static inline void vmdk_entries_unlock(VmdkWriter *w)
{
        if (w)
                pthread_mutex_unlock(&w->lock);
}

/* prepare.c: before the first change. 1: it was done just now. */
int vmdk_prepare(Node *n);

/* change.c; both want the lock. */

/* A table; copy_pos: its other copy, or 0. */
typedef struct VmdkTablePlace {
        uint64_t pos, copy_pos;
} VmdkTablePlace;

/* Entries in a row of one table: the first becomes `value`, each further one `step` more. All or none. */
typedef struct VmdkEntries {
        uint64_t first, count;
        uint32_t value, step;
} VmdkEntries;
int vmdk_change_entries(Node *n, VmdkExtent *x, const VmdkTablePlace *t, const VmdkEntries *e);

/* The tables for an entry of the directory: those that there are, or new ones. */
int vmdk_own_table(Node *n, VmdkExtent *x, uint64_t index, VmdkTablePlace *ret);

/* Room for `len` bytes behind the end of the file, at a multiple of `unit`: it reads as zeroes. */
int vmdk_extend(VmdkExtent *x, uint64_t len, uint64_t unit, uint64_t *ret_pos);

/* commit.c */

/* Writes what has changed, in order. */
int vmdk_commit(Node *n);

/* Commits when too much has changed since the last time. */
int vmdk_make_room(Node *n);

/* alloc.c, discard.c: the callbacks. */
int vmdk_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret);
int vmdk_publish(Node *n, const Extent *e);
void vmdk_release(Node *n, const Extent *e);
int vmdk_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);
