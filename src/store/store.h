/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store is bytes on the host: a file, a block device, or a stand-in of the tests.
 *
 * All functions may be called from any thread at any time; there is no cursor. Reads and writes are whole or
 * an error: never short. Errors are negative errnos. Whoever holds the pointer that store_free() wants is the
 * owner; a Node owns the Stores it was opened from.
 */
#pragma once

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef struct Store Store;

/* A stretch of a store that is all data or all hole. A hole reads as zeroes; data may. */
typedef struct StoreRun {
        bool is_hole;
        uint64_t
                end; /* where the stretch ends; beyond the end of the store: UINT64_MAX and a hole */
} StoreRun;

typedef struct StoreStat {
        uint64_t allocated; /* bytes that it takes on the host */
        struct timespec atime, mtime, ctime;
        uint64_t device, inode; /* identity of the file; both 0 where there is none */
} StoreStat;

typedef struct StoreOps {
        /* Reads up to `len` bytes; *ret_done is less only where the store ends. */
        int (*read)(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done);
        int (*write)(Store *s, const void *buf, size_t len, uint64_t pos);
        int (*get_size)(Store *s, uint64_t *ret);
        int (*set_size)(Store *s, uint64_t size);
        int (*sync)(Store *s);
        int (*punch)(Store *s, uint64_t pos, uint64_t len);     /* optional */
        int (*zero)(Store *s, uint64_t pos, uint64_t len);      /* optional */
        int (*allocate)(Store *s, uint64_t pos, uint64_t len);  /* optional */
        int (*find_run)(Store *s, uint64_t pos, StoreRun *ret); /* optional: all data */
        int (*get_stat)(Store *s, StoreStat *ret);              /* optional: zeroes */
        void (*forget)(Store *s, uint64_t pos, uint64_t len);   /* optional */
        void (*free)(Store *s);
} StoreOps;

/* What every kind of store begins with, zeroed but for ops; only store.c and the kinds themselves look inside. */
struct Store {
        const StoreOps *ops;
        atomic_uint_fast64_t changes; /* how many have been made, or at least tried */
        atomic_uint_fast64_t
                synced; /* how many of them a sync has made durable, plus 1; 0: none was done */
};

typedef enum StoreMode {
        STORE_READ_ONLY,
        STORE_WRITABLE,
        STORE_VOLATILE, /* writable, and nobody finds it after a crash: nothing is ever sent to the disk, and a sync does nothing */
} StoreMode;

/* A regular file or block device that is open already. Takes `fd` on success only. Anything else than these
 * two, and a size beyond INT64_MAX - 4096, is refused (EINVAL, EFBIG). A STORE_READ_ONLY store answers EBADF
 * to whatever would change it, whatever the descriptor would allow. */
int store_open_fd(int fd, StoreMode mode, Store **ret, Err *err);

/* Metadata: -ENODATA where the store ends before pos + len. */
int store_read(Store *s, void *buf, size_t len, uint64_t pos);

/* The same, with the sentence for both ways to fail: "the file ends within WHAT", "cannot read WHAT: …". */
int store_read_named(Store *s, void *buf, size_t len, uint64_t pos, const char *what, Err *err);

/* Guest data: zeroes where the store has ended. */
int store_read_padded(Store *s, void *buf, size_t len, uint64_t pos);

/* Writing past the end makes the store longer (a block device: ENOSPC). Long writes to a file or device begin their way
 * to the disk at once; durable they are after a sync. */
int store_write(Store *s, const void *buf, size_t len, uint64_t pos);

int store_get_size(Store *s, uint64_t *ret);

/* Growing adds a hole. A block device: EOPNOTSUPP unless the size is unchanged. */
int store_set_size(Store *s, uint64_t size);

/* When this returns 0, everything written before the call survives a power failure. Costs nothing when there was
 * nothing since the last time. */
int store_sync(Store *s);

/* The range reads as zeroes afterwards and its space is given back; the size is unchanged, and what lies past
 * the end is left alone. -EOPNOTSUPP where the host cannot: nothing has changed then. */
int store_punch(Store *s, uint64_t pos, uint64_t len);

/* The range reads as zeroes afterwards and keeps (or gets) its space; the size is unchanged. Writes zeroes where
 * the host has nothing faster. */
int store_zero(Store *s, uint64_t pos, uint64_t len);

/* Space for the range is reserved, contents and size unchanged. -EOPNOTSUPP where the host cannot. */
int store_allocate(Store *s, uint64_t pos, uint64_t len);

/* What lies at `pos`, and how far. Past the end: a hole that never ends. */
int store_find_run(Store *s, uint64_t pos, StoreRun *ret);

int store_get_stat(Store *s, StoreStat *ret);

/* Nobody is going to read the range again soon: the host need not keep it in memory. */
void store_forget(Store *s, uint64_t pos, uint64_t len);

/* Somebody else writes to what lies below: the next sync has something to do. */
void store_note_foreign_change(Store *s);

/* Accepts NULL; returns NULL. Does not sync. */
Store *store_free(Store *s);

static inline void store_freep(Store **s)
{
        *s = store_free(*s);
}
#define _cleanup_store_ __attribute__((cleanup(store_freep)))
