/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver's own view of a Parallels image, the expandable kind (.hds, and what lies in a .hdd bundle). Private to this
 * folder: the one symbol that leaves it is format_parallels. A Parallels is Node.state. What it has in common with other
 * formats of one table is a Flat (block/flat.h); the table is called BAT in texts, as in the public specification.
 *
 * There are two magics. With the old one an entry of the BAT counts sectors, so that clusters may begin with any sector;
 * with the new one it counts clusters from the beginning of the file. A cluster has any number of sectors.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/flat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        PARALLELS_VERSION = 2,
        PARALLELS_SECTOR = 512,
        PARALLELS_BAT = 64, /* where it begins: behind the header */
        PARALLELS_TRACKS_MAX = INT32_MAX / 513,
        PARALLELS_BAT_COUNT_MAX = INT32_MAX / 4,

        PARALLELS_IN_USE = 0x746f6e59,
        PARALLELS_CLOSED = 0x312e3276,
        PARALLELS_FLAG_EMPTY = 1,
};

typedef struct ParallelsDiskHeader {
        char magic[16];
        le32 version, heads, cylinders;
        le32 tracks; /* sectors of a cluster */
        le32 bat_entries;
        le64 sectors; /* of the disk; of the old kind, the lower half */
        le32 in_use;
        le32 data_off; /* in sectors */
        le32 flags;
        le64 ext_off; /* in sectors */
} ParallelsDiskHeader;
_Static_assert(sizeof(ParallelsDiskHeader) == PARALLELS_BAT, "as it lies in the file");

typedef struct Parallels {
        Flat flat;
        bool counts_clusters; /* the new magic */
        bool is_in_use;       /* somebody has not closed it */
        bool is_marked; /* as in use by us; guarded by the flat's commit lock, and by layout in finish */
        uint32_t tracks;
        uint32_t flags;
        uint32_t data_off;    /* as it stands in the header */
        uint64_t data_sector; /* where data begins, whatever the header says */
        bool data_off_is_bad;
        uint64_t ext_pos; /* bytes; 0: there is no format extension */
        bool has_features; /* the extension has some, so parts of the file are somebody's that no entry leads to */
        char refusal[96]; /* why its features do not allow writing; "" they do */
} Parallels;

/* Reads and checks the header; fills in the state and n->size. */
int parallels_header_read(Node *n, Err *err);

/* Reads and checks the format extension, if there is one. */
int parallels_extension_read(Node *n, Err *err);

extern const FlatKind parallels_kind;

/* Says in the header that the image is in use, or that it is not; syncs nothing. */
int parallels_write_mark(Node *n, uint32_t mark);

int parallels_check(Node *n, CheckReport *report);

/* Before anybody writes to an image that was not closed. EUCLEAN: damage is left. */
int parallels_repair_unclean(Node *n, Err *err);
