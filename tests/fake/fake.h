/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The smallest format that does everything a driver may do, for tests of block/ alone: a header, one table of
 * places, and granules. It allocates, shares granules with an imagined snapshot, packs (a granule of one repeated
 * byte), names a backing file, and writes its table back in the order that a power failure wants.
 *
 *   0      "FAKEDISK", le64 size, le64 granule, le64 unit, backing name (NUL-terminated) at 64, its format at 192
 *   4096   the table: le64 each; its lowest bits are flags, the rest is the position of the unit
 *   then   units
 *
 * A unit is what has a place of its own: a granule, or where the image says so a part of one.
 */
#pragma once

#include "block/format.h"

enum {
        FAKE_BELOW = 0, /* entry 0: ask the backing file */
        FAKE_HOLE = 1,
        FAKE_DATA = 2,
        FAKE_SHARED = 3, /* data that must not be written over */
        FAKE_CODED = 4,  /* the first byte at the position, repeated */
        FAKE_KIND_MASK = 7,

        FAKE_TABLE = 4096,
        FAKE_ENTRIES_MAX = 4096,
        FAKE_NAME_AT = 64,
        FAKE_NAME_MAX = 128,
        FAKE_FORMAT_AT = 192,
        FAKE_FORMAT_MAX = 32,
};

/* How the driver answers, to be told apart by tests. */
extern const Format format_fake;

/* The same without alloc, publish, release, write_back, discard, resize. */
extern const Format format_fake_read_only;

typedef struct FakeImage {
        uint64_t size;
        uint64_t granule;            /* any number of sectors */
        uint64_t unit;               /* the same, a part of granule; 0: granule */
        const char *backing, *below; /* name and format of the backing file; NULL: none */
        const char *layout; /* a letter for each unit, '.' below, '0' hole, 'd' data, 's' shared,
                                      * 'c' coded; what is missing is below */
} FakeImage;

/* A new store in memory with that image. Each byte of unit u that is not a hole is fake_byte(u). */
int fake_make(const FakeImage *image, Store **ret);

static inline uint8_t fake_byte(uint64_t unit)
{
        return (uint8_t)('A' + unit % 26);
}

/* Calls of the driver's callbacks that have been made on this node. */
typedef struct FakeCalls {
        uint64_t maps, decodes, allocs, publishes, releases, write_backs, finishes, discards;
        uint64_t longest_discard;
} FakeCalls;

typedef struct Node Node;
void fake_get_calls(Node *n, FakeCalls *ret);

/* What a driver may do and this one does only when told. All zero: as simply as it can. */
typedef struct FakeManner {
        uint64_t
                run; /* alloc goes on for as many bytes as these, units that are not in place in a row */
        unsigned again; /* so many allocs ask to be asked again */
        unsigned
                moves; /* after so many answers of map the bytes lie elsewhere, and others where they were */
        bool syncs;       /* write_back syncs what it wrote by itself */
        int publish_code; /* the next publish fails with this errno */
        int resize_code;  /* every resize fails with this errno */
} FakeManner;

/* From now on. Before other threads know the node, or while none uses it. */
void fake_set_manner(Node *n, const FakeManner *manner);
