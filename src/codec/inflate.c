/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/inflate.h"

#include "base/cleanup.h"
#include "codec/inflate-fast.h"

#include <errno.h>
#include <limits.h>
#include <zlib.h>

static void inflate_endp(z_stream *z)
{
        inflateEnd(z);
}
#define _cleanup_inflate_ _cleanup_(inflate_endp)

/* The largest window reads what any smaller one wrote; negative: no header, no checksum. */
static int inflate_window_bits(InflateKind kind)
{
        return kind == INFLATE_RAW ? -MAX_WBITS : MAX_WBITS;
}

/* 1: the stream ended. 0: `buf` is full. */
static int inflate_run(InflateKind kind,
                       const void *packed,
                       size_t packed_len,
                       void *buf,
                       size_t len,
                       size_t *ret_len)
{
        if (packed_len > INT_MAX || len > INT_MAX)
                return -EFBIG;
        /* What is cut off, too long or broken zlib judges alone, so that a build with libdeflate says the same of it. */
        if (inflate_fast(kind, packed, packed_len, buf, len, ret_len) == 1)
                return 1;

        /* zlib takes no NULL, even for nothing. */
        Bytef none = 0;
        _cleanup_inflate_ z_stream z = {
                .next_in = packed ? (z_const Bytef *)packed : &none,
                .avail_in = (uInt)packed_len,
                .next_out = buf ? buf : &none,
                .avail_out = (uInt)len,
        };
        int r = inflateInit2(&z, inflate_window_bits(kind));
        if (r != Z_OK)
                return r == Z_MEM_ERROR ? -ENOMEM : -EIO;
        r = inflate(&z, Z_FINISH);
        if (r == Z_MEM_ERROR)
                return -ENOMEM;
        *ret_len = len - z.avail_out;
        if (r == Z_STREAM_END)
                return 1;
        /* What comes after a full buffer is no business of the caller's, except a checksum that does not fit. */
        if (z.avail_out == 0 && (kind == INFLATE_RAW || r != Z_DATA_ERROR))
                return 0;
        return -EIO;
}

int inflate_all(InflateKind kind,
                const void *packed,
                size_t packed_len,
                void *buf,
                size_t len,
                size_t *ret_len)
{
        int r = inflate_run(kind, packed, packed_len, buf, len, ret_len);
        return r < 0 ? r : 0;
}

int inflate_whole(InflateKind kind,
                  const void *packed,
                  size_t packed_len,
                  void *buf,
                  size_t len,
                  size_t *ret_len)
{
        int r = inflate_run(kind, packed, packed_len, buf, len, ret_len);
        return r == 0 ? -EIO : r < 0 ? r : 0;
}

int inflate_exactly(InflateKind kind, const void *packed, size_t packed_len, void *buf, size_t len)
{
        size_t got = 0;
        int r = inflate_all(kind, packed, packed_len, buf, len, &got);
        if (r < 0)
                return r;
        return got == len ? 0 : -EIO;
}
