/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks, as zlib streams, which end in an Adler-32, or as they are, with one behind them. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "codec/inflate.h"
#include "format/ewf/ewf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int ewf_read_packed(const EwfPlace *place, uint8_t *buf, size_t len, size_t *ret_len)
{
        /* At most 2 chunks: ewf_find_chunk has seen to that. */
        _cleanup_free_ uint8_t *packed = malloc((size_t)place->len);
        if (!packed)
                return -ENOMEM;
        int r = store_read(place->store, packed, (size_t)place->len, place->pos);
        if (r < 0)
                return r;
        return inflate_whole(INFLATE_ZLIB, packed, (size_t)place->len, buf, len, ret_len);
}

static int ewf_read_plain(const EwfPlace *place, uint8_t *buf, size_t len, size_t *ret_len)
{
        le32 sum;

        if (place->len < sizeof(sum))
                return -EIO;
        size_t there = (size_t)u64_min(place->len - sizeof(sum), len);
        int r = store_read(place->store, buf, there, place->pos);
        if (r >= 0)
                r = store_read(place->store, &sum, sizeof(sum), place->pos + there);
        if (r < 0)
                return r;
        if (from_le32(sum) != ewf_sum(buf, there))
                return -EIO;
        *ret_len = there;
        return 0;
}

int ewf_read_chunk(Node *n, uint64_t index, void *buf)
{
        const Ewf *e = n->state;
        uint8_t *to = buf;
        uint64_t wanted = u64_min(e->chunk_len, n->size - index * e->chunk_len);
        size_t got = 0;
        EwfPlace place;

        int r = ewf_find_chunk(n, index, &place);
        if (r < 0)
                return r;
        r = place.is_compressed ? ewf_read_packed(&place, to, e->chunk_len, &got)
                                : ewf_read_plain(&place, to, e->chunk_len, &got);
        if (r == -ENODATA)
                return -EIO;
        if (r < 0)
                return r;
        if (got < wanted)
                return -EIO;
        memset(to + got, 0, e->chunk_len - got);
        return 0;
}
