/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk of equal blocks, and one table of 32-bit little-endian entries that says in which place of the file each of them
 * lies: what VDI and Parallels have in common. A driver of such a format reads its header and says through a FlatKind
 * what entries mean; mapping, places for new blocks, and the order in which all this is written, are here.
 *
 * The order: contents and the count of places, a sync, entries, and when the size has changed a sync and the header. So
 * a crash leaves at worst places that nothing refers to.
 *
 * A Flat is a part of the driver's state and belongs to it. Entries are read in pieces through the cache of the chain, so
 * that a table may have any length. Locks: `commit_lock` of the writer, then its `lock`; both are the driver's mutexes of
 * node.h. Entries are read without a lock.
 */
#pragma once

#include "block/check.h"
#include "block/node.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Flat Flat;
typedef struct FlatWriter FlatWriter;

enum {
        FLAT_ENTRY_LEN = 4,
        FLAT_PIECE_ENTRIES = 1024,
};

typedef struct FlatKind {
        const char *table; /* what texts call it */
        uint32_t empty;    /* the entry of a block that has no place */

        /* What an entry says: 1 and where the block begins; 0: it has no place and reads as zeroes; -EIO: nothing that can
         * be. Looks at no byte of the file and not at its size. */
        int (*locate)(const Flat *f, uint32_t entry, uint64_t *ret_pos);

        /* The entry for a place. */
        uint32_t (*entry)(const Flat *f, uint64_t place);

        /* Once, before the first change; what has to be on the disk before that, it syncs. Optional. */
        int (*prepare)(Node *n);

        /* Tells the header how many places are in use, up to the last one. Optional. */
        int (*write_count)(Node *n, uint64_t places);

        /* Tells the header the size of the disk, in whole sectors, and the number of entries. */
        int (*write_size)(Node *n, uint64_t size, uint64_t count);
} FlatKind;

struct Flat {
        /* The driver sets these in open. Fixed after that. */
        const FlatKind *kind;
        uint64_t table_pos; /* of the first entry */
        uint64_t count_max; /* entries that there is room for */
        uint64_t block_size;
        uint64_t first_pos, stride,
                lead; /* place i: `lead` bytes, and then the block, at first_pos + i * stride */
        uint64_t place_max;      /* places from there on are more than entries can say */
        uint64_t places_on_disk; /* what write_count would have said; guarded by commit_lock */
        uint64_t file_size;      /* at open */
        bool unproven;           /* all blocks were given places before anybody wrote to them */

        uint64_t count;     /* entries; guarded by layout */
        FlatWriter *writer; /* owned; NULL: read-only */
};

/* How many entries lie within the file; those behind cannot be read. */
uint64_t flat_present(const Flat *f);

/* Looks at the whole table, so that writing to it can be sound: EUCLEAN where it is not. Sets n->granule. The driver
 * calls flat_close in its close, whether this succeeded or not. */
int flat_open_writer(Node *n, Flat *f, Err *err);
void flat_close(Node *n, Flat *f);

/* No place is used again of which it is not known that nothing refers to it; for images with parts that only others
 * understand. After flat_open_writer. */
void flat_append_only(Flat *f);

/* Does no entry lead into these bytes? After flat_open_writer. */
bool flat_is_free(const Flat *f, uint64_t pos, uint64_t len);

/* The callbacks of Format. */
int flat_map(Node *n, Flat *f, uint64_t off, uint64_t len, Extent *ret);
int flat_alloc(Node *n, Flat *f, uint64_t off, uint64_t len, Extent *ret);
int flat_publish(Node *n, Flat *f, const Extent *e);
void flat_release(Node *n, Flat *f, const Extent *e);
int flat_write_back(Node *n, Flat *f);

/* Gives the space of blocks back to the host; they keep their places, so no entry changes. */
int flat_discard(
        Node *n, Flat *f, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);

/* As far as the room for entries goes (else EFBIG). What is cut off keeps its places too, zeroed. */
int flat_resize(Node *n, Flat *f, uint64_t size);

/* Has anything been changed, or been about to? */
bool flat_is_prepared(const Flat *f);

/* From now on the first change is prepared again. `layout` is held exclusively. */
void flat_unprepare(Flat *f);

/* Entries from `first` on, as many as one piece has and at most `most`, FLAT_PIECE_ENTRIES being room for all. -EIO: the
 * file ends before them. */
int flat_read_entries(
        Node *n, const Flat *f, uint64_t first, uint64_t most, uint32_t *out, uint64_t *ret_count);

/* The place at which this position begins; false: none does. */
bool flat_find_place(const Flat *f, uint64_t pos, uint64_t *ret_place);

uint64_t flat_place_pos(const Flat *f, uint64_t place);
