/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the requests of a Node share, for block/ alone. All functions want `layout` of the node held (shared is
 * enough) and take none of it themselves; a backing node's own locks are taken as needed.
 */
#pragma once

#include "block/node.h"

/* Asks the driver, and says how much of [off, off + len) its answer covers: *ret_len is 1 to len. The range lies
 * within the size. */
int node_map(Node *n, uint64_t off, uint64_t len, Extent *ret, uint64_t *ret_len);

/* Reads what `e` says of [off, off + len), which lies within it. */
int node_read_extent(Node *n, const Extent *e, void *buf, size_t len, uint64_t off);

/* Reads from a coded extent [off, off + len), which lies within it. */
int node_read_coded(Node *n, const Extent *e, void *buf, size_t len, uint64_t off);

/* Reads the beginning of [off, off + len), which begins in the coded extent `first` and goes on behind it: *ret_len, as far as
 * coded extents follow. The crew helps. */
int node_read_coded_run(
        Node *n, const Extent *first, void *buf, size_t len, uint64_t off, uint64_t *ret_len);

/* Reads within the size. */
int node_read_locked(Node *n, void *buf, size_t len, uint64_t off);

/* What reads as zeroes at `off` whatever the layers below hold: up to *ret_len bytes, 0 if none do. `e` is what
 * the driver said of them, `len` how much of it is wanted. */
int node_find_zeroes(Node *n, const Extent *e, uint64_t off, uint64_t len, uint64_t *ret_len);

/* Is this node one that may be written to now? EROFS, EIO after a failed sync. Needs no lock. */
int node_may_write(Node *n);

/* What to put into a range of guest bytes. */
typedef enum Filling {
        FILL_BYTES,  /* those of a buffer */
        FILL_ZEROES, /* zeroes; what reads as zeroes already may stay as it is */
        FILL_SAME,   /* what is there already, in a place of its own */
} Filling;

/* Writes within the size. `buf` is for FILL_BYTES, else NULL. */
int node_fill_locked(Node *n, Filling filling, const void *buf, uint64_t len, uint64_t off);
