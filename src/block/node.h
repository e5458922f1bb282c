/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Node is one open image: a layer of a chain. The top one is what a view shows.
 *
 * Locks, outermost first. A thread may skip levels and never goes back up:
 *
 *   1  node->layout       shared for a whole request; exclusive in discard, resize:
 *                         an Extent stays true while it is used
 *   2  node->flush_lock   one whole flush: older table copies must not overwrite newer ones
 *   3  node->range_lock   one granule being allocated: no two places for one granule
 *   4  1 to 3 of the backing node, then of its backing node
 *   5  the driver's mutex changing tables, choosing places; never while guest data moves
 *   6  a cache entry      loading or changing that piece of a table
 *   7  a Store's own lock if it has one
 *
 * `layout` prefers writers, so no thread takes it twice: code that holds it calls the …_locked functions.
 * All functions may be called from any thread, except node_open and node_close. Results are 0 or a negative errno.
 * Offsets and lengths are guest bytes; the caller of read, write, discard, zero stays within node_get_size().
 */
#pragma once

#include "base/err.h"
#include "block/format.h"
#include "block/listener.h"
#include "block/range-lock.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Cache Cache;

struct Node {
        /* Fixed after open. */
        const Format *format;
        Store *store;         /* owned: the file that holds the header */
        Store **extra_stores; /* owned: further files of the same image, added by node_adopt_store */
        size_t extra_count;
        Node *backing;    /* owned; NULL without one */
        void *state;      /* the driver's own; freed by node_close after format->close */
        Cache *cache;     /* borrowed; shared by a whole chain; never NULL */
        uint64_t granule; /* the unit of alloc, any number of bytes; 0: nothing is ever allocated */
        uint32_t
                sector_size; /* of the disk's sectors, as the image states; 0: it states nothing; set in open */
        uint64_t
                decode_cost; /* memory that read_coded takes besides three times its extent; set in open */
        bool writable;
        bool is_below; /* a layer below another one: what only the top of a chain shows is not looked at */
        bool for_check; /* opened to be checked: nothing is served from it, and damage is no reason to refuse */
        bool stays_locked; /* opened to be described or mapped: nothing is served from it, and nobody asked for a passphrase */
        bool guessed;      /* raw because no format was recognised; only ever read-only */
        Listener listener; /* of what open does that takes long */
        bool repaired; /* it was not closed cleanly; set by the driver that made up for it, in open */
        char *snapshot; /* owned: name or id of the internal snapshot to show; NULL: the disk itself */
        char *file_name; /* owned: what `store` is called in its folder, for formats whose further files are called alike; NULL: not
                            known */
        char *backing_name; /* owned: what the image says, as it says it; NULL: it names none */
        char **backing_others; /* owned, NULL at the end: further names of the same file, tried in turn where the one before is
                                  missing or refused; NULL: there are none */
        char *backing_format; /* owned: the format that it states for it; NULL: it states none */

        /* A sync failed: the kernel may have dropped what we wrote, so writing ends for good. */
        atomic_bool broken;

        /* How often the driver has let places that it had given up be used again. Who read from a place that may
         * have been given up meanwhile (all but what is in place) looks here afterwards, and reads again. */
        atomic_uint_fast64_t reuses;

        pthread_rwlock_t layout;
        pthread_mutex_t flush_lock;
        RangeLock range_lock;

        uint64_t size; /* of the guest disk in bytes; guarded by layout */
};

typedef struct NodeOptions {
        bool writable;
        bool for_check; /* nothing but node_check will be called: a damaged image opens too, and
                                 opening it writable changes nothing */
        bool stays_locked; /* nothing but node_get_size, node_map_chain, and what its format describes: no passphrase is
                              asked for */
        bool is_below;
        const char *snapshot;  /* copied; NULL: the disk itself */
        const char *file_name; /* copied; NULL: not known */
        Listener listener;     /* of a repair before the image is written to */
        Cache *cache;          /* borrowed, outlives the node */
} NodeOptions;

/* Opens one layer and nothing below it. Takes `s` on success only. `opener` may be NULL (see format.h). The text
 * of an error begins with the format's name. A format without resize/alloc cannot be opened writable unless it is
 * always in place; such a driver refuses in open. */
int node_open(const Format *format,
              Store *s,
              const NodeOptions *options,
              Opener *opener,
              Node **ret,
              Err *err);

/* Sets n->backing_name to what lies at `pos` of the node's file, `len` bytes that the driver has found possible; 0: it names none. For
 * drivers, in open. */
int node_read_backing_name(Node *n, uint64_t pos, uint32_t len, Err *err);

/* Adds to n->backing_others, at most LIMIT_BACKING_OTHERS of them. Copies `name`. For drivers, in open. */
int node_add_backing_other(Node *n, const char *name);

/* Hands a further file to the node, which owns it on success only. For drivers, in open. */
int node_adopt_store(Node *n, Store *s);

/* Closes the node and all below it. Does not flush. Accepts NULL and half-open nodes; returns NULL. */
Node *node_close(Node *n);

uint64_t node_get_size(Node *n);

/* 512 or 4096, as the first layer says that says anything; 0: none does. */
uint32_t node_get_sector_size(const Node *n);

/* What is asked for past the end reads as zeroes: so does a layer that is shorter than the one above it. */
int node_read(Node *n, void *buf, size_t len, uint64_t off);

/* Writes within the size (else ENOSPC). EROFS on a read-only node; EIO for ever after a failed sync. */
int node_write(Node *n, const void *buf, size_t len, uint64_t off);

/* The range reads as zeroes afterwards, space is given back where possible. Here and in the next two, what of the
 * range lies past the end is left alone. */
int node_discard(Node *n, uint64_t off, uint64_t len);

/* The range reads as zeroes afterwards and keeps its space where it has some. */
int node_zero(Node *n, uint64_t off, uint64_t len);

/* Space for the range is reserved, as far as the format and the host can. */
int node_allocate(Node *n, uint64_t off, uint64_t len);

/* New bytes read as zeroes. EOPNOTSUPP where the format cannot, EROFS on a read-only node. */
int node_resize(Node *n, uint64_t size);

/* Everything written before the call survives a power failure once this returns 0: tables, then all files. */
int node_flush(Node *n);

/* node_flush for the last time: afterwards the image says that it was closed cleanly, if its format can. For whoever has
 * ended all writing; without it the image is as after a crash, which costs a repair at most. */
int node_finish(Node *n);

/* Syncs the files of this layer and nothing else; for drivers, in write_back. A failure sets `broken`. */
int node_sync(Node *n);

typedef enum NodeFind {
        NODE_FIND_DATA,
        NODE_FIND_HOLE, /* what reads as zeroes and takes no space; the end of the disk is one */
} NodeFind;

/* The first offset at or after `off` that is of this kind. -ENXIO when off is at or past the end, or no data
 * follows. May call data what is a hole when finding out would take too long, never the other way round. */
int node_find(Node *n, NodeFind what, uint64_t off, uint64_t *ret);

/* The store whose bytes are those of the disk, one for one and over its whole length; NULL: there is none. The node's. It
 * stays so while nothing is allocated and no size changes. */
Store *node_get_plain(Node *n);

/* For a raw image, to whose file others write while it is served: the disk is as long as the file is now, and the next flush
 * brings to disk what they wrote. */
int node_follow(Node *n);

/* Bytes on the host of all files of the whole chain, and the times of the top layer's file(s). */
int node_get_stat(Node *n, StoreStat *ret);

static inline void node_closep(Node **n)
{
        *n = node_close(*n);
}
#define _cleanup_node_ __attribute__((cleanup(node_closep)))
