/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only way to memory whose size an image dictates.
 */
#pragma once

#include "base/err.h"
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
