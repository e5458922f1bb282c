/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bzip2, if rawview was built with it. Any thread; a call needs at most BUNZIP2_MEMORY whatever the input says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The library's state for the largest blocks there are, 900 kB: 4 bytes each and its tables. */
#define BUNZIP2_MEMORY ((size_t)3800 << 10)

bool bunzip2_is_there(void);

/* Unpacks one stream into `buf`. 0 when `len` bytes came out or the stream has ended: *ret_len says how many came out.
 * -EIO: broken; -ENOMEM; -EOPNOTSUPP: built without. */
int bunzip2_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len);
