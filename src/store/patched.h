/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store that shows another one as it will be when what stands in its log has been written: some ranges of it are
 * replaced, and nothing is changed. The owner puts the patches before other threads know the store; from then on it is
 * only read. The one below is borrowed and outlives it.
 */
#pragma once

#include "store/store.h"

enum {
        /* Each patch costs so much memory beside its bytes; an image that wants more of them than this is refused. */
        PATCHED_COST = 96,
        PATCHED_MAX = 16384,
};

int patched_store_new(Store *inner, Store **ret);

/* Replaces [pos, pos + len) with a copy of `bytes`, or with zeroes where that is NULL. What was put there before is gone.
 * -EFBIG beyond PATCHED_MAX. */
int patched_store_put(Store *s, const void *bytes, uint64_t len, uint64_t pos);

/* It is at least so long. */
void patched_store_extend(Store *s, uint64_t size);

/* Hears how many bytes of the patches have been written. */
typedef void (*PatchedStep)(void *arg, uint64_t done);

/* How many bytes patched_store_apply() has to write. */
uint64_t patched_store_get_len(const Store *s);

/* Writes all patches into the store below and makes it as long as this one is. Does not sync. `step` may be NULL. */
int patched_store_apply(Store *s, PatchedStep step, void *arg);
