/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only way to memory whose size an image dictates.
 *
 * What stays as long as the image is open is reserved first, so that the tables of many layers do not add up to more than
 * LIMIT_TABLES_SIZE and what the cache can spare.
 */
#pragma once

#include "base/err.h"
#include "block/cache.h"
#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

/* Reads `count` entries of `entry` bytes at `pos` into new memory (free() it). The product must stay within
 * LIMIT_TABLE_SIZE (EFBIG). Only what the file really holds is read and backed by memory: the part past its end is
 * zeroes; a table that begins at or past the end and is not empty is ENODATA. `what` names the table in the
 * text ("L1 table"). count 0 gives NULL. */
int table_read(Store *s,
               uint64_t pos,
               uint64_t count,
               size_t entry,
               const char *what,
               void **ret,
               Err *err);

/* Reserves `len` bytes in the cache of the chain for a table that stays; give them back with cache_release. EFBIG:
 * there is not so much memory for tables. */
int table_reserve(Cache *c, uint64_t len, const char *what, Err *err);
