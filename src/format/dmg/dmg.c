/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/dmg/dmg.h"

#include "base/bits.h"
#include "block/cache.h"
#include "block/info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static void dmg_close(Node *n)
{
        Dmg *d = n->state;

        if (!d)
                return;
        cache_release(n->cache, d->reserved);
        free(d->chunks);
        *d = (Dmg){ 0 };
}

/* The disk ends where the trailer says, but never before its chunks do. */
static int dmg_set_size(Node *n, const Dmg *d, Err *err)
{
        uint64_t sectors = from_be64(d->trailer.sector_count);

        if (sectors > LIMIT_DISK_SIZE / DMG_SECTOR)
                return err_set(err, EFBIG,
                               "the disk has %" PRIu64 " sectors, more than the limit of %" PRIu64
                               " bytes",
                               sectors, LIMIT_DISK_SIZE);
        if (d->chunk_count > 0) {
                const DmgChunk *last = &d->chunks[d->chunk_count - 1];
                sectors = u64_max(sectors, last->sector + last->count);
        }
        n->size = sectors * DMG_SECTOR;
        return 0;
}

static void dmg_set_cost(Node *n, const Dmg *d)
{
        for (uint64_t i = 0; i < d->chunk_count; i++)
                n->decode_cost = u64_max(n->decode_cost, dmg_codec_cost(d->chunks[i].type));
}

static int dmg_open(Node *n, Opener *opener, Err *err)
{
        Dmg *d = n->state;

        if (n->writable)
                return err_set(err, EROFS, "images of this format can only be read");
        int r = store_get_size(n->store, &d->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = dmg_trailer_read(n->store, d->file_size, &d->trailer, err);
        if (r >= 0)
                r = dmg_chunks_read(n, err);
        if (r >= 0)
                r = dmg_set_size(n, d, err);
        if (r < 0)
                return r;
        dmg_set_cost(n, d);
        return 0;
}

static int dmg_describe(Node *n, Info *info)
{
        info->has_no_dirty = true;
        return 0;
}

const Format format_dmg = {
        .name = "dmg",
        .magic = { { .at = -DMG_TRAILER_LEN, .len = 12, .bytes = "koly\0\0\0\4\0\0\2\0" } },
        .state_size = sizeof(Dmg),
        .open = dmg_open,
        .close = dmg_close,
        .map = dmg_map,
        .read_coded = dmg_read_coded,
        .check = dmg_check,
        .describe = dmg_describe,
};
