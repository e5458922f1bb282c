/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unpacking what deflate packed (RFC 1951), bare or as a zlib stream (RFC 1950). Any thread; a call has some 40 KiB of memory
 * of its own and keeps none, whatever the input says. With libdeflate, which is faster, a stream may
 * also count more symbols in its codes than there are, as long as it uses none of them.
 */
#pragma once

#include <stddef.h>

typedef enum InflateKind {
        INFLATE_RAW,
        INFLATE_ZLIB, /* two bytes of header, and an Adler-32 at the end, which is compared where the end is reached */
} InflateKind;

/* Unpacks from `packed` into `buf`, until that is full or the stream ends: *ret_len is how much came out. What follows in
 * `packed` is not looked at. -EIO: it is no such stream, or is cut off before `buf` is full. -EFBIG: `packed_len` or `len` is
 * beyond 2 GiB. */
int inflate_all(InflateKind kind,
                const void *packed,
                size_t packed_len,
                void *buf,
                size_t len,
                size_t *ret_len);

/* The same where the stream has to end, with the checksum that it may have, and to give `len` bytes at most; else -EIO. */
int inflate_whole(InflateKind kind,
                  const void *packed,
                  size_t packed_len,
                  void *buf,
                  size_t len,
                  size_t *ret_len);

/* The same where nothing but exactly `len` bytes will do; -EIO when the stream ends before. */
int inflate_exactly(InflateKind kind, const void *packed, size_t packed_len, void *buf, size_t len);
