/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/ewf/ewf.h"

#include "base/bits.h"
#include "block/cache.h"
#include "codec/sum.h"

#include <errno.h>
#include <stdlib.h>

uint32_t ewf_sum(const void *bytes, size_t len)
{
        return adler32_over(1, bytes, len);
}

static int ewf_open(Node *n, Opener *opener, Err *err)
{
        Ewf *e = n->state;

        if (n->writable)
                return err_set(err, EROFS, "an E01 is evidence: it can only be opened read-only");
        int r = -pthread_mutex_init(&e->lock, NULL);
        if (r < 0)
                return err_set(err, -r, "%m");
        e->has_lock = true;
        r = ewf_open_segments(n, opener, err);
        if (r < 0)
                return r;
        n->size = e->sector_count * e->sector_len;
        /* 512 is what programs write that were not told. */
        if (e->sector_len == EWF_SECTOR_LARGE)
                n->sector_size = EWF_SECTOR_LARGE;
        return 0;
}

static void ewf_close(Node *n)
{
        Ewf *e = n->state;

        cache_release(n->cache, e->reserved);
        free(e->tables);
        if (e->has_lock)
                pthread_mutex_destroy(&e->lock);
        *e = (Ewf){ 0 };
}

/* Chunks that are there as they are have a checksum as well, so none is read without being looked at. */
static int ewf_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Ewf *e = n->state;
        uint64_t index = off / e->chunk_len;

        *ret = (Extent){
                .kind = EXTENT_CODED,
                .off = index * e->chunk_len,
                .len = e->chunk_len,
                .cookie = index,
        };
        return 0;
}

static int ewf_read_coded(Node *n, const Extent *e, void *buf)
{
        return ewf_read_chunk(n, e->cookie, buf);
}

const Format format_ewf = {
        .name = "ewf",
        .magic = { { .at = 0, .len = 8, .bytes = EWF_MAGIC "\0" },
                   { .at = 0, .len = 8, .bytes = EWF_LOGICAL_MAGIC "\0" } },
        .state_size = sizeof(Ewf),
        .has_pieces = true,
        .open = ewf_open,
        .close = ewf_close,
        .map = ewf_map,
        .read_coded = ewf_read_coded,
        .check = ewf_check,
        .describe = ewf_describe,
};
