/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cloop, version 2.0: a disk in blocks of one size, each a zlib stream, behind a table of where they begin. Read-only.
 *
 * An open image has nothing but its header in memory: the table is read in pieces, through the cache.
 */
#pragma once

#include "base/disk-int.h"
#include "block/check.h"
#include "block/node.h"

#include <stddef.h>
#include <stdint.h>

enum {
        CLOOP_STUB_LEN = 128,
        CLOOP_SECTOR = 512,
        CLOOP_TABLE_POS = 136,
        CLOOP_PIECE_LEN = 4096,
        CLOOP_CACHE_TABLE = 1,
};

/* What stands in front of the version in the script that a cloop begins with, the version, and the line's end. */
#define CLOOP_STUB "#!/bin/sh\n#V"
#define CLOOP_VERSION "2.0"
#define CLOOP_STUB_END " Format\n"

typedef struct CloopDiskHeader {
        char stub[CLOOP_STUB_LEN]; /* a shell script, padded with zeroes */
        be32 block_size;           /* bytes */
        be32 block_count;          /* behind it: block_count + 1 positions, be64 */
} CloopDiskHeader;

_Static_assert(sizeof(CloopDiskHeader) == CLOOP_TABLE_POS, "the table follows the header");

/* Fixed after open. */
typedef struct Cloop {
        uint64_t file_size;
        uint32_t block_size;
        uint32_t block_count;
} Cloop;

/* Where a block lies in the file. */
typedef struct CloopPlace {
        uint64_t pos, end;
} CloopPlace;

/* -EIO: the table says nothing that can be. */
int cloop_find_block(Node *n, uint64_t index, CloopPlace *ret);

/* Unpacks block `index` from `place` into `buf` of block_size bytes. */
int cloop_unpack(Node *n, CloopPlace place, void *buf);

int cloop_check(Node *n, CheckReport *report);
