/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/bunzip2.h"

#include "base/cleanup.h"

#include <bzlib.h>
#include <errno.h>
#include <limits.h>

static void bunzip2_end(bz_stream *s)
{
        BZ2_bzDecompressEnd(s);
}
#define _cleanup_bunzip2_ _cleanup_(bunzip2_end)

bool bunzip2_is_there(void)
{
        return true;
}

int bunzip2_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        _cleanup_bunzip2_ bz_stream s = { .next_in = (char *)packed, .next_out = buf };
        int r;

        if (packed_len > UINT_MAX || len > UINT_MAX)
                return -EIO;
        r = BZ2_bzDecompressInit(&s, 0, 0);
        if (r != BZ_OK)
                return r == BZ_MEM_ERROR ? -ENOMEM : -EIO;
        s.avail_in = (unsigned)packed_len;
        s.avail_out = (unsigned)len;
        r = BZ2_bzDecompress(&s);
        if (r == BZ_MEM_ERROR)
                return -ENOMEM;
        /* It goes on as long as there is input and room. */
        if (r != BZ_STREAM_END && s.avail_out > 0)
                return -EIO;
        *ret_len = len - s.avail_out;
        return 0;
}
