/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver keeps of an image that is written to. Private to this folder; owned by the Vhdx, NULL in one that is
 * only read.
 *
 * Changed pages of the BAT stay in use in the cache until they are in their places in the file. Guest data goes to the
 * file at once. What has changed by the time of a flush becomes one log entry, under a LogGuid of its own, and the
 * header names that LogGuid only when entry and data are safe; until then the header names the one before, whose entry
 * is left alone in the other half of the ring. So the header is what makes a change, all of it or nothing:
 *
 *     data, pages of the entry before into their places, the new entry → sync → header → sync
 *
 * Whoever finds the image after a crash replays one entry, or none. The pages of the last entry get into their places with
 * the next flush, or when the image is closed: then the header says that the log is empty.
 *
 * Locks: commit_lock, then lock, then page_lock; the cache's own are innermost. commit_lock may be held during I/O,
 * lock during that on tables and changes of the file's length, never while guest data moves. map takes only page_lock.
 */
#pragma once

#include "format/vhdx/space.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
        /* Pages that one entry has room for: with its descriptors it fits into half of the smallest log. */
        VHDX_BATCH_PAGES = 120,

        /* Places given up, after so many of which a commit is due. */
        VHDX_FREED_MAX = 4096,
};

typedef struct VhdxPage {
        CacheEntry *entry; /* in use */
        uint64_t pos;
} VhdxPage;

/* MiBs in a row. */
typedef struct VhdxRow {
        uint64_t first, count;
} VhdxRow;

typedef struct VhdxWriter {
        pthread_mutex_t commit_lock; /* one commit at a time; the header */
        pthread_mutex_t lock;        /* all below, except where something else is said */
        pthread_mutex_t page_lock;   /* the bytes of pages */

        /* False until the image has got new GUIDs, which say that somebody writes to it. */
        atomic_bool prepared;

        VhdxPage dirty[VHDX_BATCH_PAGES]; /* changed since the last commit began */
        size_t dirty_count;
        VhdxRow *freed; /* owned: given up since then, by entries that the file still has */
        size_t freed_count, freed_room;

        /* In the log that the header names, and not in their places. Guarded by commit_lock. */
        VhdxPage logged[VHDX_BATCH_PAGES];
        uint8_t *logged_bytes; /* owned: a page for each */
        size_t logged_count;
        uint64_t sequence; /* of the last log entry */
        bool second_half;  /* of the ring is where the next one goes */

        VhdxSpace space;
        uint64_t cursor; /* where the search for free space begins, in MiB */

        /* Where the file ends, a multiple of 1 MiB. Read without a lock in map. */
        atomic_uint_fast64_t file_end;
} VhdxWriter;

/* writer.c */
int vhdx_writer_open(Node *n, Err *err);
void vhdx_writer_close(Node *n);

/* Before the first change. 1: it was done just now. */
int vhdx_prepare(Node *n);

/* commit.c */

/* Changes `len` bytes, within a page, at `pos`; that page is part of the next commit. Makes room for it, with a commit,
 * when there is none. Wants no lock. */
int vhdx_page_change(Node *n, uint64_t pos, const void *bytes, size_t len);

/* Makes what has changed safe. 1: and synced it. */
int vhdx_commit(Node *n);

/* Nothing waits any more, and the header says that the log is empty. Does not sync in the end. */
int vhdx_finish(Node *n);

/* alloc.c, discard.c, resize.c: the callbacks. */
int vhdx_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret);
int vhdx_publish(Node *n, const Extent *e);
void vhdx_release(Node *n, const Extent *e);
int vhdx_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);
int vhdx_resize(Node *n, uint64_t size);

/* Changes the entry of a block. */
int vhdx_entry_set(Node *n, uint64_t index, uint64_t entry);

/* A block gets this state, and its place is given up with the next commit. Layout is held exclusively. */
int vhdx_block_clear(Node *n, uint64_t block, uint64_t state);
