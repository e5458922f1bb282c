/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fast way through a stream of deflate that is all there and fits, if rawview was built with libdeflate. Any thread; a call
 * has 12 KiB of memory of its own and keeps none. For codec/ alone: others call inflate.h.
 */
#pragma once

#include "codec/inflate.h"

/* 1: the whole stream has been unpacked, with its checksum if it has one, into *ret_len bytes, at most `len`. 0: not so, and
 * what is in `buf` means nothing: zlib has to say what there is to it. */
int inflate_fast(InflateKind kind,
                 const void *packed,
                 size_t packed_len,
                 void *buf,
                 size_t len,
                 size_t *ret_len);
