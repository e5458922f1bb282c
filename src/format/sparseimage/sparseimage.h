/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Apple's sparse image: what the files of the driver share. docs/formats/sparseimage.md has the layout. Everything is fixed
 * after open; any thread.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CheckReport CheckReport;

enum {
        SPARSEIMAGE_SECTOR = 512,
        SPARSEIMAGE_NODE_LEN = 4096,
        SPARSEIMAGE_VERSION = 3,
        SPARSEIMAGE_HEADER_SLOTS = 1008,
        SPARSEIMAGE_INDEX_SLOTS = 1010,
};

/* Nodes of the list: each is good for a thousand bands, of 1 MiB in every image that is known. So many are 64 TiB. */
#define SPARSEIMAGE_NODES_MAX 65536

/* Bytes of a band. */
#define SPARSEIMAGE_BAND_LEN_MAX (UINT64_C(1) << 30)

/* Bands that a disk may be long: their numbers have room for more, but no disk has so many. */
#define SPARSEIMAGE_BANDS_MAX (UINT64_C(1) << 28)

/* The first node. */
typedef struct SparseImageHeader {
        uint8_t magic[4]; /* sprs */
        be32 version;
        be32 band_sectors;
        be32 flags; /* 1 in every image that is known */
        be32 sectors_low;
        be64 next; /* where the next node is; 0: there is none */
        be64 sectors;
        uint8_t zero[28];
        be32 slots[SPARSEIMAGE_HEADER_SLOTS];
} SparseImageHeader;
_Static_assert(sizeof(SparseImageHeader) == SPARSEIMAGE_NODE_LEN, "as it lies in a file");

/* A further node. */
typedef struct SparseImageIndex {
        uint8_t magic[4]; /* sprs */
        be32 number;
        be32 flags;
        be64 next;
        uint8_t zero[36];
        be32 slots[SPARSEIMAGE_INDEX_SLOTS];
} SparseImageIndex;
_Static_assert(sizeof(SparseImageIndex) == SPARSEIMAGE_NODE_LEN, "as it lies in a file");

/* A band that there is: which node and slot it is in. */
typedef struct SparseImageBand {
        uint32_t number; /* of the disk, from 0 on */
        uint16_t node, slot;
} SparseImageBand;

typedef struct SparseImage {
        uint64_t file_size;
        uint64_t band_len, band_count; /* of the whole disk */
        uint64_t *nodes;               /* owned: where each is */
        SparseImageBand *bands;        /* owned; in the order of the disk */
        uint64_t node_count, used_count;
        uint64_t reserved; /* bytes of the cache's account */
        bool is_cut; /* a node lies beyond the end of the file: what else there is, nobody knows */
} SparseImage;

/* Reads all nodes: n->size and n->state. */
int sparseimage_nodes_read(Node *n, Err *err);

/* Where a band lies in the file. */
uint64_t sparseimage_band_pos(const SparseImage *s, const SparseImageBand *b);

int sparseimage_check(Node *n, CheckReport *report);
