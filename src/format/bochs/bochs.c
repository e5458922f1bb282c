/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Growing images of Bochs, read only. A catalog has one entry for each extent of the disk: which of the file's extents it is.
 * Those lie behind the catalog, each with a bitmap in front of its data; a sector whose bit is 0 reads as zeroes.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/info.h"
#include "block/limits.h"
#include "block/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

enum {
        BOCHS_SECTOR = 512,
        BOCHS_VERSION_1 = 0x10000,
        BOCHS_VERSION_2 = 0x20000,
        BOCHS_ENTRIES_MAX = 0x100000,
        BOCHS_EXTENT_MAX = 8 << 20,
        BOCHS_CACHE_PIECE = 1,
        BOCHS_PIECE = 512,
        BOCHS_MAP_ABSENT = 4096, /* extents that one map looks at */
};

#define BOCHS_ABSENT UINT32_C(0xffffffff)

typedef struct BochsDiskHeader {
        char magic[32];
        char type[16];
        char subtype[16];
        le32 version;
        le32 header_size;
        le32 catalog_entries;
        le32 bitmap_size;
        le32 extent_size;
        union {
                struct {
                        le32 timestamp;
                        le64 disk_size;
                } v2;
                le64 v1_disk_size;
        };
} BochsDiskHeader;
_Static_assert(sizeof(BochsDiskHeader) == 96, "bochs header");

/* Node.state; constant after open. */
typedef struct Bochs {
        uint64_t file_size;
        uint64_t catalog_pos, data_pos;
        uint64_t extent_size;
        uint64_t bitmap_len; /* in whole sectors, as it lies in front of the data */
        uint64_t bits;       /* that it has */
} Bochs;

static bool bochs_is_text(const char *field, size_t len, const char *text)
{
        return strncmp(field, text, len) == 0;
}

static int bochs_probe(const Probe *p)
{
        return p->head[22] == 0;
}

static int bochs_check_kind(const BochsDiskHeader *h, Err *err)
{
        uint32_t version = from_le32(h->version);

        if (!bochs_is_text(h->magic, sizeof(h->magic), "Bochs Virtual HD Image"))
                return err_set(err, EBADMSG,
                               "the file does not begin with \"Bochs Virtual HD Image\"");
        if (!bochs_is_text(h->type, sizeof(h->type), "Redolog"))
                return err_set(err, EOPNOTSUPP, "image type '%.16s' is not known, only 'Redolog'",
                               h->type);
        if (!bochs_is_text(h->subtype, sizeof(h->subtype), "Growing"))
                return err_set(err, EOPNOTSUPP,
                               "subtype '%.16s' is not known, only 'Growing': it is of no use "
                               "without the disk that it was made over",
                               h->subtype);
        if (version != BOCHS_VERSION_1 && version != BOCHS_VERSION_2)
                return err_set(err, EOPNOTSUPP,
                               "version %#" PRIx32 " is not known, only 0x10000 and 0x20000",
                               version);
        return 0;
}

static int bochs_set_size(Node *n, const BochsDiskHeader *h, Err *err)
{
        const Bochs *b = n->state;
        uint64_t entries = from_le32(h->catalog_entries);
        uint64_t size = from_le64(from_le32(h->version) == BOCHS_VERSION_1 ? h->v1_disk_size
                                                                           : h->v2.disk_size);

        if (size > LIMIT_DISK_SIZE)
                return err_set(err, EFBIG, "disk size %" PRIu64 " is more than can be shown", size);
        if (entries > BOCHS_ENTRIES_MAX)
                return err_set(err, EFBIG, "catalog entries %" PRIu64 " are more than 1048576",
                               entries);
        if (entries < div_round_up(size, b->extent_size))
                return err_set(err, EBADMSG,
                               "catalog entries %" PRIu64 " are too few for %" PRIu64
                               " bytes in extents of %" PRIu64,
                               entries, size, b->extent_size);
        n->size = round_down(size, BOCHS_SECTOR);
        return 0;
}

static int bochs_set_layout(Bochs *b, const BochsDiskHeader *h, Err *err)
{
        uint64_t bitmap = from_le32(h->bitmap_size);
        uint64_t catalog_len = UINT64_C(4) * from_le32(h->catalog_entries);

        b->extent_size = from_le32(h->extent_size);
        if (!is_power_of_two(b->extent_size) || b->extent_size < BOCHS_SECTOR ||
            b->extent_size > BOCHS_EXTENT_MAX)
                return err_set(err, EBADMSG,
                               "extent size %" PRIu64
                               " is not a power of two between 512 and 8388608",
                               b->extent_size);
        if (bitmap == 0)
                return err_set(err, EBADMSG, "bitmap size 0: extents have none");
        b->bitmap_len = round_up(bitmap, BOCHS_SECTOR);
        b->bits = bitmap * 8;
        b->catalog_pos = from_le32(h->header_size);
        if (b->catalog_pos < sizeof(BochsDiskHeader))
                return err_set(err, EBADMSG, "header size %" PRIu64 " is too small",
                               b->catalog_pos);
        if (!in_range(b->catalog_pos, catalog_len, b->file_size))
                return err_set(err, ENODATA,
                               "header size %" PRIu64 ": a catalog of %" PRIu64
                               " bytes would end past the end of the file (%" PRIu64 " bytes)",
                               b->catalog_pos, catalog_len, b->file_size);
        b->data_pos = b->catalog_pos + catalog_len;
        return 0;
}

static int bochs_open(Node *n, Opener *opener, Err *err)
{
        Bochs *b = n->state;
        BochsDiskHeader h;

        if (n->writable && !n->for_check)
                return err_set(err, EROFS, "this format can only be read");
        int r = store_get_size(n->store, &b->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = store_read_named(n->store, &h, sizeof(h), 0, "the header", err);
        if (r < 0)
                return r;
        r = bochs_check_kind(&h, err);
        if (r >= 0)
                r = bochs_set_layout(b, &h, err);
        return r < 0 ? r : bochs_set_size(n, &h, err);
}

static void bochs_close(Node *n)
{
}

static int bochs_load_piece(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

/* Up to a piece of a table from `pos` on. */
static int bochs_get_piece(Node *n, uint64_t pos, CacheEntry **ret)
{
        CacheKey key = { .owner = n, .kind = BOCHS_CACHE_PIECE, .at = pos };

        return cache_get(n->cache, &key, BOCHS_PIECE, bochs_load_piece, n->store, ret);
}

static int bochs_get_entry(Node *n, uint64_t index, uint32_t *ret)
{
        const Bochs *b = n->state;
        uint64_t at = 4 * index;
        CacheEntry *entry = NULL;
        le32 raw;

        int r = bochs_get_piece(n, b->catalog_pos + round_down(at, BOCHS_PIECE), &entry);
        if (r < 0)
                return r;
        memcpy(&raw, (uint8_t *)cache_entry_bytes(entry) + at % BOCHS_PIECE, sizeof(raw));
        cache_put(n->cache, entry);
        *ret = from_le32(raw);
        return 0;
}

/* From the extent at `off` on, which is not there, all that are not. */
static void bochs_map_absent(Node *n, uint64_t off, uint64_t end, Extent *ret)
{
        const Bochs *b = n->state;
        uint64_t at = round_down(off, b->extent_size);
        Extent e = { .kind = EXTENT_HOLE, .off = at };
        uint32_t entry = BOCHS_ABSENT;

        for (unsigned i = 0; i < BOCHS_MAP_ABSENT && at < end && entry == BOCHS_ABSENT; i++) {
                at += b->extent_size;
                if (at < end && bochs_get_entry(n, at / b->extent_size, &entry) < 0)
                        break;
        }
        e.len = at - e.off;
        *ret = e;
}

/* The sectors of an extent from `sector` on, and before `end`, that are all there or all not. */
static int bochs_read_bitmap(Node *n,
                             uint64_t bitmap_pos,
                             uint64_t sector,
                             uint64_t end,
                             uint64_t *ret_end,
                             bool *ret_set)
{
        const Bochs *b = n->state;
        uint64_t first = round_down(sector, BOCHS_PIECE * 8);
        CacheEntry *entry = NULL;

        end = u64_min(u64_min(end, b->bits), first + BOCHS_PIECE * 8);
        if (sector >= end)
                return -EIO;
        int r = bochs_get_piece(n, bitmap_pos + first / 8, &entry);
        if (r < 0)
                return r;
        const uint8_t *bytes = cache_entry_bytes(entry);
        uint64_t at = sector - first;
        bool set = bytes[at / 8] >> at % 8 & 1;
        while (first + at < end && (bytes[at / 8] >> at % 8 & 1) == set)
                at++;
        cache_put(n->cache, entry);
        *ret_end = first + at;
        *ret_set = set;
        return 0;
}

static int bochs_map_extent(Node *n, uint32_t index, uint64_t off, uint64_t end, Extent *ret)
{
        const Bochs *b = n->state;
        uint64_t start = round_down(off, b->extent_size), pos = 0;
        uint64_t sector = (off - start) / BOCHS_SECTOR, last = 0;
        bool set = false;

        if (__builtin_mul_overflow((uint64_t)index, b->bitmap_len + b->extent_size, &pos) ||
            pos > b->file_size || !in_range(b->data_pos + pos, b->bitmap_len, b->file_size))
                return -EIO;
        pos += b->data_pos;
        end = u64_min(end - start, b->extent_size);
        int r = bochs_read_bitmap(n, pos, sector, div_round_up(end, BOCHS_SECTOR), &last, &set);
        if (r < 0)
                return r;
        Extent e = {
                .kind = set ? EXTENT_DATA : EXTENT_HOLE,
                .off = start + sector * BOCHS_SECTOR,
                .len = (last - sector) * BOCHS_SECTOR,
        };
        if (set) {
                e.store = n->store;
                e.pos = pos + b->bitmap_len + sector * BOCHS_SECTOR;
                /* What is cut off with the end of the file is lost, and nothing else. */
                if (!in_range(e.pos, BOCHS_SECTOR, b->file_size))
                        return -EIO;
                e.len = u64_min(e.len, round_down(b->file_size - e.pos, BOCHS_SECTOR));
        }
        *ret = e;
        return 0;
}

static int bochs_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Bochs *b = n->state;
        uint32_t index = 0;

        int r = bochs_get_entry(n, off / b->extent_size, &index);
        if (r < 0)
                return r;
        if (index == BOCHS_ABSENT)
                bochs_map_absent(n, off, off + len, ret);
        else
                r = bochs_map_extent(n, index, off, off + len, ret);
        if (r < 0)
                return r;
        ret->len = u64_min(ret->len, n->size - ret->off);
        return 0;
}

static int bochs_describe(Node *n, Info *info)
{
        info->has_no_dirty = true;
        return 0;
}

const Format format_bochs = {
        .name = "bochs",
        .magic = { { .at = 0, .len = 22, .bytes = "Bochs Virtual HD Image" } },
        .state_size = sizeof(Bochs),
        .probe = bochs_probe,
        .open = bochs_open,
        .close = bochs_close,
        .map = bochs_map,
        .describe = bochs_describe,
};
