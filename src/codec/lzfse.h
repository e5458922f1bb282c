/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LZFSE, Apple's compression with LZ77 and finite state entropy: a run of blocks, each of which may also be LZVN or plain.
 * Any thread; each call has memory of its own, 50 KiB whatever the input says.
 */
#pragma once

#include <stddef.h>

/* Unpacks into `buf`. 0 when `len` bytes came out or the stream has ended: *ret_len says how many came out. -EIO: broken, or
 * a block of it has more bytes than there is room for. -ENOMEM. */
int lzfse_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len);
