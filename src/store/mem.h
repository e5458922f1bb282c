/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store in memory, for tests only. It grows as it is written. Any thread: a mutex stands for what the kernel does
 * for a file. Pages that are all zero count as holes.
 */
#pragma once

#include "store/store.h"

enum {
        MEM_STORE_PAGE = 4096,
        /* Writing beyond this is ENOSPC: a test that strays must not eat the machine. */
        MEM_STORE_MAX = 64 << 20,
};

/* A copy of `len` bytes; `bytes` NULL: zeroes. The identity that get_stat gives is its own. */
int mem_store_new(const void *bytes, size_t len, Store **ret);

/* A second store with what `s`, of any kind, holds now. */
int mem_store_copy(Store *s, Store **ret);

/* For two stores that are to pass for one file. Before other threads know it. */
void mem_store_set_inode(Store *s, uint64_t inode);

/* From now on writing or growing beyond `size` is ENOSPC, as on a full host. Any thread, at any time. */
void mem_store_set_limit(Store *s, uint64_t size);

/* From now on punch and allocate answer EOPNOTSUPP, as on a poor host. Before other threads know it. */
void mem_store_make_poor(Store *s);
