/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A qcow2 image in memory, made field by field for the tests of the driver. Belongs to one test.
 *
 * image_begin lays out: cluster 0 header, 1 refcount table (empty: a reader has no use for it), 2 L1 table,
 * 3 the first L2 table, which maps the whole disk as long as one is enough; 4 and on are free.
 */
#pragma once

#include "block/cache.h"
#include "block/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        IMAGE_LEN = 1 << 20,

        IMAGE_VERSION = 4,
        IMAGE_BACKING_OFFSET = 8,
        IMAGE_BACKING_SIZE = 16,
        IMAGE_CLUSTER_BITS = 20,
        IMAGE_SIZE = 24,
        IMAGE_CRYPT_METHOD = 32,
        IMAGE_L1_SIZE = 36,
        IMAGE_L1_OFFSET = 40,
        IMAGE_REFCOUNT_TABLE_OFFSET = 48,
        IMAGE_REFCOUNT_TABLE_CLUSTERS = 56,
        IMAGE_NB_SNAPSHOTS = 60,
        IMAGE_SNAPSHOTS_OFFSET = 64,
        IMAGE_INCOMPATIBLE = 72,
        IMAGE_COMPATIBLE = 80,
        IMAGE_AUTOCLEAR = 88,
        IMAGE_REFCOUNT_ORDER = 96,
        IMAGE_HEADER_LENGTH = 100,
        IMAGE_COMPRESSION_TYPE = 104,
        IMAGE_EXTENSIONS = 112,
};

#define IMAGE_COPIED (UINT64_C(1) << 63)
#define IMAGE_COMPRESSED (UINT64_C(1) << 62)

typedef struct Image {
        uint8_t bytes[IMAGE_LEN];
        size_t len; /* of the file; set it to cut the image off */
        uint64_t cluster;
        unsigned cluster_bits;
        unsigned entry_len; /* of an L2 entry */
        uint64_t extension; /* where image_extension puts the next one */
} Image;

typedef struct Opened {
        Cache *cache;
        Node *node; /* NULL: not opened */
        int r;
        Err err;
} Opened;

/* Version 3 unless image_put says otherwise. `extended` needs cluster_bits of at least 14. */
void image_begin(Image *i, unsigned cluster_bits, uint64_t size, bool extended);

/* `width` bytes, big-endian. */
void image_put(Image *i, uint64_t pos, unsigned width, uint64_t value);
void image_put_bytes(Image *i, uint64_t pos, const void *bytes, size_t len);

/* The L2 entry of a guest cluster in the first L2 table, and its bitmap in an extended one. */
void image_map(Image *i, uint64_t cluster, uint64_t entry);
void image_map_extended(Image *i, uint64_t cluster, uint64_t entry, uint64_t bitmap);

/* Appends a header extension; `len` is what it says of its length. */
void image_extension(Image *i, uint32_t type, const void *bytes, uint32_t len);

/* Gives an image that is to be written to its refcounts: a block in the cluster of that number, the first free one, says
 * that each up to itself is used once. The file ends behind it. Then image_set_refcount for those that are not. */
void image_count(Image *i, uint64_t cluster, unsigned refcount_order);
void image_set_refcount(Image *i, uint64_t cluster, uint64_t refcount);

/* A table of one snapshot at `pos`, whose L1 table of one entry is at `l1_pos`. */
void image_snapshot(Image *i, uint64_t pos, uint64_t l1_pos);

/* Opens a copy. Whether it worked is for the caller to see. */
void image_open(const Image *i, const char *snapshot, Opener *opener, Opened *ret);
void image_open_writable(const Image *i, Opener *opener, Opened *ret);
void image_close(Opened *o);
