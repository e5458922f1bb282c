/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The region table, of which there are two copies: where in the file the BAT and the metadata are. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "block/table.h"
#include "format/vhdx/vhdx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* 2DC27766-F623-4200-9D64-115E9BFD4A08 */
static const Uuid vhdx_region_bat = { {
        0x2d,
        0xc2,
        0x77,
        0x66,
        0xf6,
        0x23,
        0x42,
        0x00,
        0x9d,
        0x64,
        0x11,
        0x5e,
        0x9b,
        0xfd,
        0x4a,
        0x08,
} };

/* 8B7CA206-4790-4B9A-B8FE-575F050F886E */
static const Uuid vhdx_region_metadata = { {
        0x8b,
        0x7c,
        0xa2,
        0x06,
        0x47,
        0x90,
        0x4b,
        0x9a,
        0xb8,
        0xfe,
        0x57,
        0x5f,
        0x05,
        0x0f,
        0x88,
        0x6e,
} };

/* One region as it is checked: its range, and what it is called in a text. */
typedef struct VhdxRegion {
        Uuid guid;
        VhdxRange range;
} VhdxRegion;

/* Reads one copy: 1 it is sound, 0 it is not. Its bytes are owned by the caller. */
static int vhdx_table_read(Node *n, unsigned copy, uint8_t **ret, Err *err)
{
        Vhdx *v = n->state;
        _cleanup_free_ void *bytes = NULL;
        VhdxDiskRegionTable d;
        uint64_t pos = VHDX_HEADERS_END + (uint64_t)copy * VHDX_TABLE_LEN;

        int r = table_read(v->store, pos, VHDX_TABLE_LEN, 1, "region table", &bytes, err);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        memcpy(&d, bytes, sizeof(d));
        memset((uint8_t *)bytes + offsetof(VhdxDiskRegionTable, checksum), 0, sizeof(d.checksum));
        if (memcmp(d.signature, "regi", 4) != 0 ||
            crc32c(0, bytes, VHDX_TABLE_LEN) != from_le32(d.checksum))
                return 0;
        *ret = TAKE(bytes);
        return 1;
}

static int vhdx_region_parse(const VhdxDiskRegion *d, VhdxRegion *ret, Err *err)
{
        VhdxRegion region = {
                .guid = uuid_from_guid(d->guid),
                .range = { from_le64(d->file_offset), from_le32(d->length) },
        };
        const VhdxRange *range = &region.range;
        uint32_t flags = from_le32(d->flags);
        char text[UUID_TEXT_LEN + 1];

        uuid_format(&region.guid, text);
        if (flags & ~(uint32_t)VHDX_REGION_REQUIRED)
                return err_set(err, EOPNOTSUPP, "region %s: flags 0x%" PRIx32 " are not known",
                               text, flags);
        if ((flags & VHDX_REGION_REQUIRED) && !uuid_equal(&region.guid, &vhdx_region_bat) &&
            !uuid_equal(&region.guid, &vhdx_region_metadata))
                return err_set(err, EOPNOTSUPP, "region %s is required, and it is not known", text);
        if (!is_aligned(range->pos, VHDX_UNIT) || !is_aligned(range->len, VHDX_UNIT) ||
            range->len == 0)
                return err_set(err, EBADMSG,
                               "region %s: FileOffset %" PRIu64 " or Length %" PRIu64
                               " is not a multiple of 1 MiB",
                               text, range->pos, range->len);
        if (range->pos < VHDX_UNIT || range->pos > UINT64_MAX - range->len)
                return err_set(err, EBADMSG,
                               "region %s: FileOffset %" PRIu64
                               " lies within the headers or beyond any file",
                               text, range->pos);
        *ret = region;
        return 0;
}

static bool vhdx_ranges_overlap(const VhdxRange *a, const VhdxRange *b)
{
        return a->pos < b->pos + b->len && b->pos < a->pos + a->len;
}

/* A region lies over none of those before it, nor over the log, and is there only once. */
static int vhdx_region_check(const Vhdx *v, const VhdxRegion *regions, size_t index, Err *err)
{
        const VhdxRegion *region = &regions[index];
        VhdxRange log = { v->header.log_pos, v->header.log_len };
        char text[UUID_TEXT_LEN + 1], other[UUID_TEXT_LEN + 1];

        uuid_format(&region->guid, text);
        if (vhdx_ranges_overlap(&region->range, &log))
                return err_set(err, EBADMSG, "region %s overlaps the log", text);
        for (size_t i = 0; i < index; i++) {
                uuid_format(&regions[i].guid, other);
                if (uuid_equal(&region->guid, &regions[i].guid))
                        return err_set(err, EBADMSG, "region %s is there twice", text);
                if (vhdx_ranges_overlap(&region->range, &regions[i].range))
                        return err_set(err, EBADMSG, "region %s overlaps region %s", text, other);
        }
        return 0;
}

/* A region that we need begins within the file; what of it is missing is told when it is read. */
static int vhdx_region_find(
        const Vhdx *v, const VhdxRegion *regions, const Uuid *guid, VhdxRange *ret, Err *err)
{
        for (size_t i = 0; i < v->region_count; i++) {
                if (!uuid_equal(&regions[i].guid, guid))
                        continue;
                if (regions[i].range.pos >= v->file_size)
                        return err_set(err, ENODATA,
                                       "FileOffset %" PRIu64
                                       " is past the end of the file (%" PRIu64 " bytes)",
                                       regions[i].range.pos, v->file_size);
                *ret = regions[i].range;
                return 0;
        }
        return err_set(err, EBADMSG, "there is none in the region table");
}

static int vhdx_regions_parse(Node *n, const uint8_t *table, VhdxRegion *regions, Err *err)
{
        Vhdx *v = n->state;

        for (size_t i = 0; i < v->region_count; i++) {
                VhdxDiskRegion d;
                memcpy(&d, table + sizeof(VhdxDiskRegionTable) + i * sizeof(d), sizeof(d));
                int r = vhdx_region_parse(&d, &regions[i], err);
                if (r >= 0)
                        r = vhdx_region_check(v, regions, i, err);
                if (r < 0)
                        return r;
                v->regions[i] = regions[i].range;
        }
        int r = vhdx_region_find(v, regions, &vhdx_region_bat, &v->bat, err);
        if (r < 0)
                return err_prefix(err, r, "BAT region");
        r = vhdx_region_find(v, regions, &vhdx_region_metadata, &v->metadata, err);
        return r < 0 ? err_prefix(err, r, "metadata region") : 0;
}

/* The first copy that is sound, or else why there is none. */
static int vhdx_table_choose(Node *n, uint8_t **ret, Err *err)
{
        Vhdx *v = n->state;
        _cleanup_free_ uint8_t *spare = NULL;

        int first = vhdx_table_read(n, 0, ret, err);
        if (first < 0)
                return first;
        int second = vhdx_table_read(n, 1, first ? &spare : ret, err);
        if (second < 0)
                return second;
        v->table_lost = !first || !second;
        if (!first && !second)
                return err_set(err, EBADMSG, "neither of the two region tables is sound");
        return 0;
}

int vhdx_regions_read(Node *n, Err *err)
{
        Vhdx *v = n->state;
        _cleanup_free_ uint8_t *table = NULL;
        _cleanup_free_ VhdxRegion *regions = NULL;
        VhdxDiskRegionTable d;

        int r = vhdx_table_choose(n, &table, err);
        if (r < 0)
                return r;
        memcpy(&d, table, sizeof(d));
        uint32_t count = from_le32(d.entry_count);
        if (count > VHDX_TABLE_COUNT_MAX)
                return err_set(err, EBADMSG, "region table: EntryCount %" PRIu32 " is more than %d",
                               count, VHDX_TABLE_COUNT_MAX);
        regions = calloc((size_t)count + 1, sizeof(*regions));
        v->regions = calloc((size_t)count + 1, sizeof(*v->regions));
        if (!regions || !v->regions)
                return err_set(err, ENOMEM, "%m");
        v->region_count = count;
        return vhdx_regions_parse(n, table, regions, err);
}
