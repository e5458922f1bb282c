/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What flat.c, flat-write.c and flat-check.c share: pieces of the table as the cache has them, and what a writer keeps. A
 * FlatWriter belongs to its Flat; what guards its fields is said at each.
 */
#pragma once

#include "block/flat.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct CacheEntry CacheEntry;

enum {
        FLAT_CACHE_PIECE = 1,
        FLAT_PIECE_LEN = FLAT_PIECE_ENTRIES * FLAT_ENTRY_LEN,
        FLAT_MARK_CHANGED = 1,

        /* Changed pieces that are kept before they are written: 4 MiB. */
        FLAT_CHANGED_MAX = 1024,
};

typedef struct FlatPiece {
        CacheEntry *entry; /* in use */
        uint64_t first;    /* index of its first entry, a multiple of FLAT_PIECE_ENTRIES */
} FlatPiece;

struct FlatWriter {
        atomic_bool prepared;

        pthread_mutex_t commit_lock; /* one write_back, or preparation, at a time */

        pthread_mutex_t lock; /* guards all below, and the changing of entries and marks */

        FlatPiece *changed; /* owned, as is the use of each entry */
        size_t changed_count, changed_room;

        uint8_t *used;       /* owned: a bit for each place */
        uint64_t used_room;  /* bits */
        uint64_t place_hint; /* all places before it are in use */
        uint64_t place_end;  /* behind the last one in use */
        uint64_t file_end;   /* how long the file is */
        uint64_t keep_end;   /* it never becomes shorter than this */
        bool has_given_back; /* the file may be longer than it has to be */

        bool size_changed;
        uint64_t size; /* of the disk, as the header is to say */

        uint64_t reserved; /* bytes, in the cache; fixed but for resize */
};

/* The piece with this entry, in use. */
int flat_get_piece(Node *n, const Flat *f, uint64_t index, FlatPiece *ret);

uint32_t flat_load_entry(const FlatPiece *p, uint64_t index);

/* Does none of these places have a byte of [pos, pos + len)? */
bool flat_bits_are_free(
        const Flat *f, const uint8_t *bits, uint64_t room, uint64_t pos, uint64_t len);

/* A set of places. */
static inline bool flat_bit_is_set(const uint8_t *bits, uint64_t i)
{
        return bits[i / 8] >> (i % 8) & 1;
}

static inline void flat_bit_set(uint8_t *bits, uint64_t i)
{
        bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
}

static inline void flat_bit_clear(uint8_t *bits, uint64_t i)
{
        bits[i / 8] = (uint8_t)(bits[i / 8] & ~(1u << (i % 8)));
}
