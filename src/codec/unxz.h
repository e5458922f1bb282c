/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LZMA in an .xz stream, if rawview was built with it. Any thread; a call needs little more memory than `len` bytes, whatever
 * dictionary the stream asks for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

bool unxz_is_there(void);

/* Unpacks one stream into `buf`. 0 when `len` bytes came out or the stream has ended: *ret_len says how many came out.
 * -EIO: broken, or a block of it has more bytes than there is room for; -ENOMEM; -EOPNOTSUPP: built without. */
int unxz_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len);
