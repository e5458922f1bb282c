/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Block by block rather than with the library's decoder of whole streams: a block's header says how large a dictionary it
 * wants, up to 4 GiB, of which nothing beyond the bytes that come out can ever be used.
 */
#include "codec/unxz.h"

#include "base/cleanup.h"

#include <errno.h>
#include <lzma.h>
#include <stdint.h>

typedef struct UnxzFilters {
        lzma_filter filters[LZMA_FILTERS_MAX + 1];
} UnxzFilters;

static void unxz_filters_done(UnxzFilters *f)
{
        lzma_filters_free(f->filters, NULL);
}
#define _cleanup_filters_ _cleanup_(unxz_filters_done)

typedef struct Unxz {
        const uint8_t *in;
        size_t in_len, in_at;
        uint8_t *out;
        size_t len, done;
        lzma_check check;
} Unxz;

bool unxz_is_there(void)
{
        return true;
}

static int unxz_error(lzma_ret r)
{
        return r == LZMA_OK ? 0 : r == LZMA_MEM_ERROR ? -ENOMEM : -EIO;
}

static void unxz_limit_dictionary(lzma_filter *filters, size_t len)
{
        for (lzma_filter *f = filters; f->id != LZMA_VLI_UNKNOWN; f++) {
                lzma_options_lzma *options = f->options;
                if (f->id == LZMA_FILTER_LZMA2 && options->dict_size > len)
                        options->dict_size =
                                len > LZMA_DICT_SIZE_MIN ? (uint32_t)len : LZMA_DICT_SIZE_MIN;
        }
}

/* The header of a block begins with its own size. */
static int unxz_block(Unxz *x)
{
        _cleanup_filters_ UnxzFilters f = { { { .id = LZMA_VLI_UNKNOWN } } };
        const uint8_t *head = x->in + x->in_at;
        lzma_block block = {
                .version = 1,
                .check = x->check,
                .filters = f.filters,
                .header_size = lzma_block_header_size_decode(*head),
        };

        if (block.header_size > x->in_len - x->in_at)
                return -EIO;
        int r = unxz_error(lzma_block_header_decode(&block, NULL, head));
        if (r < 0)
                return r;
        unxz_limit_dictionary(f.filters, x->len);
        x->in_at += block.header_size;
        return unxz_error(lzma_block_buffer_decode(&block, NULL, x->in, &x->in_at, x->in_len,
                                                   x->out, &x->done, x->len));
}

int unxz_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        Unxz x = { .in = packed, .in_len = packed_len, .out = buf, .len = len };
        lzma_stream_flags flags;

        if (packed_len < LZMA_STREAM_HEADER_SIZE || len > UINT32_MAX)
                return -EIO;
        int r = unxz_error(lzma_stream_header_decode(&flags, packed));
        if (r < 0)
                return r;
        x.check = flags.check;
        x.in_at = LZMA_STREAM_HEADER_SIZE;

        /* A 0 instead of a header's size begins the index, which says nothing that we want to know. */
        while (x.done < len) {
                if (x.in_at >= packed_len)
                        return -EIO;
                if (x.in[x.in_at] == 0)
                        break;
                r = unxz_block(&x);
                if (r < 0)
                        return r;
        }
        *ret_len = x.done;
        return 0;
}
