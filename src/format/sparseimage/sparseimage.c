/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/sparseimage/sparseimage.h"

#include "base/bits.h"
#include "block/cache.h"

#include <errno.h>
#include <stdlib.h>

static void sparseimage_close(Node *n)
{
        SparseImage *s = n->state;

        if (!s)
                return;
        cache_release(n->cache, s->reserved);
        free(s->nodes);
        free(s->bands);
        *s = (SparseImage){ 0 };
}

static int sparseimage_open(Node *n, Opener *opener, Err *err)
{
        if (n->writable)
                return err_set(err, EROFS, "images of this format can only be read");
        return sparseimage_nodes_read(n, err);
}

/* The band of this number, or the one behind it. */
static uint64_t sparseimage_find(const SparseImage *s, uint64_t number)
{
        uint64_t low = 0, high = s->used_count;

        while (low < high) {
                uint64_t middle = low + (high - low) / 2;
                if (s->bands[middle].number < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* How many bands from the i-th on follow each other on the disk and in the file, as far as they are asked for. */
static uint64_t sparseimage_run_len(const SparseImage *s, uint64_t i, uint64_t most)
{
        uint64_t count = 1, pos = sparseimage_band_pos(s, &s->bands[i]);

        while (count < most && i + count < s->used_count) {
                const SparseImageBand *b = &s->bands[i + count];
                if (b->number != s->bands[i].number + count ||
                    sparseimage_band_pos(s, b) != pos + count * s->band_len)
                        break;
                count++;
        }
        return count;
}

/* A band ends with the disk, and with the file: what is missing there is an error. */
static int sparseimage_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const SparseImage *s = n->state;
        uint64_t number = off / s->band_len, i = sparseimage_find(s, number);

        if (i == s->used_count || s->bands[i].number != number) {
                uint64_t end = i < s->used_count ? s->bands[i].number * s->band_len : n->size;
                if (s->is_cut)
                        return -EIO;
                *ret = (Extent){ .kind = EXTENT_HOLE, .off = off, .len = end - off };
                return 0;
        }
        uint64_t first = number * s->band_len, pos = sparseimage_band_pos(s, &s->bands[i]);
        uint64_t bands = sparseimage_run_len(s, i, div_round_up(off - first + len, s->band_len));
        uint64_t there = pos < s->file_size ? s->file_size - pos : 0;
        if (there <= off - first)
                return -EIO;
        *ret = (Extent){ .kind = EXTENT_DATA,
                         .off = first,
                         .len = u64_min(u64_min(bands * s->band_len, n->size - first), there),
                         .store = n->store,
                         .pos = pos };
        return 0;
}

const Format format_sparseimage = {
        .name = "sparseimage",
        .magic = { { .at = 0, .len = 8, .bytes = "sprs\0\0\0\3" } },
        .state_size = sizeof(SparseImage),
        .open = sparseimage_open,
        .close = sparseimage_close,
        .map = sparseimage_map,
        .check = sparseimage_check,
};
