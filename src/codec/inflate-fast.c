/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/inflate-fast.h"

#include "base/cleanup.h"

#include <libdeflate.h>

static void inflate_fast_free(struct libdeflate_decompressor **d)
{
        libdeflate_free_decompressor(*d);
}
#define _cleanup_decompressor_ _cleanup_(inflate_fast_free)

int inflate_fast(InflateKind kind,
                 const void *packed,
                 size_t packed_len,
                 void *buf,
                 size_t len,
                 size_t *ret_len)
{
        size_t got = 0;

        if (!packed || !buf)
                return 0;
        _cleanup_decompressor_ struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
        if (!d)
                return 0;
        enum libdeflate_result r =
                kind == INFLATE_RAW
                        ? libdeflate_deflate_decompress(d, packed, packed_len, buf, len, &got)
                        : libdeflate_zlib_decompress(d, packed, packed_len, buf, len, &got);
        if (r != LIBDEFLATE_SUCCESS)
                return 0;
        *ret_len = got;
        return 1;
}
