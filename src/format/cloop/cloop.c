/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/cloop/cloop.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "codec/inflate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The header must be readable whatever the version, so that another one can be refused by name. */
static int cloop_check_stub(const CloopDiskHeader *h, Err *err)
{
        const size_t head = strlen(CLOOP_STUB);
        const char *version = h->stub + head;
        char stub[CLOOP_STUB_LEN + 1] = "";

        memcpy(stub, h->stub, CLOOP_STUB_LEN);
        if (strncmp(stub, CLOOP_STUB, head) != 0)
                return err_set(err, EBADMSG, "the file does not begin with the script of a cloop");
        size_t len = strcspn(stub + head, " \n");
        if (len != strlen(CLOOP_VERSION) || memcmp(version, CLOOP_VERSION, len) != 0)
                return err_set(err, EOPNOTSUPP, "version '%.*s' is not known, only " CLOOP_VERSION,
                               (int)u64_min(len, 16), stub + head);
        if (strncmp(stub + head + len, CLOOP_STUB_END, strlen(CLOOP_STUB_END)) != 0)
                return err_set(err, EBADMSG, "the script at its beginning is not that of a cloop");
        return 0;
}

static int cloop_check_header(Cloop *c, const CloopDiskHeader *h, Err *err)
{
        c->block_size = from_be32(h->block_size);
        c->block_count = from_be32(h->block_count);

        if (c->block_size == 0 || !is_aligned(c->block_size, CLOOP_SECTOR))
                return err_set(err, EBADMSG, "block size %" PRIu32 " is not a multiple of 512",
                               c->block_size);
        if (c->block_size > LIMIT_CODED_LEN)
                return err_set(err, EFBIG,
                               "block size %" PRIu32 " is more than the limit of %" PRIu64,
                               c->block_size, LIMIT_CODED_LEN);
        uint64_t table = ((uint64_t)c->block_count + 1) * sizeof(be64);
        if (!in_range(CLOOP_TABLE_POS, table, c->file_size))
                return err_set(err, ENODATA,
                               "the table of %" PRIu32 " blocks goes beyond the end of the file "
                               "(%" PRIu64 " bytes)",
                               c->block_count, c->file_size);
        return 0;
}

static int cloop_open(Node *n, Opener *opener, Err *err)
{
        Cloop *c = n->state;
        CloopDiskHeader h;

        if (n->writable)
                return err_set(err, EROFS, "a cloop can only be opened read-only");
        int r = store_get_size(n->store, &c->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = store_read_named(n->store, &h, sizeof(h), 0, "the header", err);
        if (r < 0)
                return r;
        r = cloop_check_stub(&h, err);
        if (r < 0)
                return r;
        r = cloop_check_header(c, &h, err);
        if (r < 0)
                return r;
        n->size = (uint64_t)c->block_size * c->block_count;
        return 0;
}

static void cloop_close(Node *n)
{
}

static int cloop_load_piece(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

static int cloop_get_pos(Node *n, uint64_t index, uint64_t *ret)
{
        uint64_t at = index * sizeof(be64);
        CacheKey key = {
                .owner = n,
                .kind = CLOOP_CACHE_TABLE,
                .at = CLOOP_TABLE_POS + round_down(at, CLOOP_PIECE_LEN),
        };
        CacheEntry *entry = NULL;
        be64 pos;

        int r = cache_get(n->cache, &key, CLOOP_PIECE_LEN, cloop_load_piece, n->store, &entry);
        if (r < 0)
                return r;
        memcpy(&pos, (uint8_t *)cache_entry_bytes(entry) + at % CLOOP_PIECE_LEN, sizeof(pos));
        cache_put(n->cache, entry);
        *ret = from_be64(pos);
        return 0;
}

int cloop_find_block(Node *n, uint64_t index, CloopPlace *ret)
{
        const Cloop *c = n->state;
        CloopPlace place;

        int r = cloop_get_pos(n, index, &place.pos);
        if (r >= 0)
                r = cloop_get_pos(n, index + 1, &place.end);
        if (r < 0)
                return r;
        *ret = place;
        /* zlib makes nothing longer by more than some bytes for each 16 KiB. */
        return place.pos < place.end && place.end <= c->file_size &&
                               place.end - place.pos <= 2 * (uint64_t)c->block_size
                       ? 0
                       : -EIO;
}

int cloop_unpack(Node *n, CloopPlace place, void *buf)
{
        const Cloop *c = n->state;
        size_t packed_len = (size_t)(place.end - place.pos);

        /* At most 2 blocks: cloop_find_block has seen to that. */
        _cleanup_free_ uint8_t *packed = malloc(packed_len);
        if (!packed)
                return -ENOMEM;
        int r = store_read(n->store, packed, packed_len, place.pos);
        if (r == -ENODATA)
                return -EIO;
        if (r < 0)
                return r;
        return inflate_exactly(INFLATE_ZLIB, packed, packed_len, buf, c->block_size);
}

static int cloop_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Cloop *c = n->state;
        uint64_t index = off / c->block_size;

        *ret = (Extent){
                .kind = EXTENT_CODED,
                .off = index * c->block_size,
                .len = c->block_size,
                .cookie = index,
        };
        return 0;
}

static int cloop_read_coded(Node *n, const Extent *e, void *buf)
{
        CloopPlace place;

        int r = cloop_find_block(n, e->cookie, &place);
        return r < 0 ? r : cloop_unpack(n, place, buf);
}

const Format format_cloop = {
        .name = "cloop",
        .magic = { { .at = 0, .len = 23, .bytes = CLOOP_STUB CLOOP_VERSION CLOOP_STUB_END } },
        .state_size = sizeof(Cloop),
        .open = cloop_open,
        .close = cloop_close,
        .map = cloop_map,
        .read_coded = cloop_read_coded,
        .check = cloop_check,
};
