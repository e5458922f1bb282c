/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The metadata region: a table of items, of which each is known by its GUID, and the items that say what the disk is. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table.h"
#include "format/vhdx/vhdx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        VHDX_PAGE_83_LEN = 16,
};

typedef enum VhdxItemKind {
        VHDX_ITEM_PARAMETERS,
        VHDX_ITEM_SIZE,
        VHDX_ITEM_PAGE_83,
        VHDX_ITEM_LOGICAL_SECTOR,
        VHDX_ITEM_PHYSICAL_SECTOR,
        VHDX_ITEM_LOCATOR,
        VHDX_ITEM_KINDS,
} VhdxItemKind;

/* The items of the specification; len 0: of any length. */
static const struct {
        Uuid guid;
        const char *name;
        uint32_t len;
} vhdx_items[VHDX_ITEM_KINDS] = {
        /* CAA16737-FA36-4D43-B3B6-33F0AA44E76B */
        [VHDX_ITEM_PARAMETERS] = { { { 0xca, 0xa1, 0x67, 0x37, 0xfa, 0x36, 0x4d, 0x43, 0xb3, 0xb6,
                                       0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b } },
                                   "file parameters",
                                   sizeof(VhdxDiskParameters) },
        /* 2FA54224-CD1B-4876-B211-5DBED83BF4B8 */
        [VHDX_ITEM_SIZE] = { { { 0x2f, 0xa5, 0x42, 0x24, 0xcd, 0x1b, 0x48, 0x76, 0xb2, 0x11, 0x5d,
                                 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 } },
                             "virtual disk size",
                             sizeof(le64) },
        /* BECA12AB-B2E6-4523-93EF-C309E000C746 */
        [VHDX_ITEM_PAGE_83] = { { { 0xbe, 0xca, 0x12, 0xab, 0xb2, 0xe6, 0x45, 0x23, 0x93, 0xef,
                                    0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 } },
                                "page 83 data",
                                VHDX_PAGE_83_LEN },
        /* 8141BF1D-A96F-4709-BA47-F233A8FAAB5F */
        [VHDX_ITEM_LOGICAL_SECTOR] = { { { 0x81, 0x41, 0xbf, 0x1d, 0xa9, 0x6f, 0x47, 0x09, 0xba,
                                           0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f } },
                                       "logical sector size",
                                       sizeof(le32) },
        /* CDA348C7-445D-4471-9CC9-E9885251C556 */
        [VHDX_ITEM_PHYSICAL_SECTOR] = { { { 0xcd, 0xa3, 0x48, 0xc7, 0x44, 0x5d, 0x44, 0x71, 0x9c,
                                            0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 } },
                                        "physical sector size",
                                        sizeof(le32) },
        /* A8D35F2D-B30B-454D-ABF7-D3D84834AB0C */
        [VHDX_ITEM_LOCATOR] = { { { 0xa8, 0xd3, 0x5f, 0x2d, 0xb3, 0x0b, 0x45, 0x4d, 0xab, 0xf7,
                                    0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c } },
                                "parent locator",
                                0 },
};

/* The items that are there, as ranges of the file; len 0: it is not. */
typedef struct VhdxItems {
        VhdxRange known[VHDX_ITEM_KINDS];
        VhdxRange *all; /* owned */
        size_t count;
} VhdxItems;

static void vhdx_items_done(VhdxItems *items)
{
        free(items->all);
}
#define _cleanup_items_ _cleanup_(vhdx_items_done)

/* Which item of the specification it is; VHDX_ITEM_KINDS: none. What users add may have any GUID. */
static VhdxItemKind vhdx_item_kind(const Uuid *guid, uint32_t flags)
{
        VhdxItemKind kind = 0;

        while (kind < VHDX_ITEM_KINDS &&
               ((flags & VHDX_ITEM_USER) || !uuid_equal(guid, &vhdx_items[kind].guid)))
                kind++;
        return kind;
}

static int vhdx_item_check(
        const Vhdx *v, const VhdxDiskItem *d, VhdxItemKind kind, const char *name, Err *err)
{
        uint32_t flags = from_le32(d->flags), offset = from_le32(d->offset),
                 len = from_le32(d->length);

        if (flags & ~(uint32_t)(VHDX_ITEM_USER | VHDX_ITEM_DISK | VHDX_ITEM_REQUIRED))
                return err_set(err, EOPNOTSUPP, "%s: flags 0x%" PRIx32 " are not known", name,
                               flags);
        if (kind == VHDX_ITEM_KINDS && (flags & VHDX_ITEM_REQUIRED))
                return err_set(err, EOPNOTSUPP, "%s is required, and it is not known", name);
        if (len > VHDX_ITEM_LEN_MAX)
                return err_set(err, EBADMSG, "%s: Length %" PRIu32 " is more than 1 MiB", name,
                               len);
        if (len > 0 && (offset < VHDX_TABLE_LEN || !in_range(offset, len, v->metadata.len)))
                return err_set(err, EBADMSG,
                               "%s: Offset %" PRIu32 " with Length %" PRIu32
                               " lies not within the metadata region, behind its table",
                               name, offset, len);
        if (kind < VHDX_ITEM_KINDS &&
            (len == 0 || (vhdx_items[kind].len && len != vhdx_items[kind].len)))
                return err_set(err, EBADMSG, "%s: Length %" PRIu32 " is not that of such an item",
                               name, len);
        return 0;
}

/* Adds an item, which lies over none before it. */
static int vhdx_item_add(
        VhdxItems *items, const VhdxRange *range, VhdxItemKind kind, const char *name, Err *err)
{
        for (size_t i = 0; i < items->count; i++) {
                const VhdxRange *other = &items->all[i];
                if (range->pos < other->pos + other->len && other->pos < range->pos + range->len)
                        return err_set(err, EBADMSG, "%s: overlaps another item", name);
        }
        items->all[items->count++] = *range;
        if (kind == VHDX_ITEM_KINDS)
                return 0;
        if (items->known[kind].len > 0)
                return err_set(err, EBADMSG, "%s is there twice", name);
        items->known[kind] = *range;
        return 0;
}

static int vhdx_items_parse(
        const Vhdx *v, const uint8_t *table, size_t count, VhdxItems *items, Err *err)
{
        for (size_t i = 0; i < count; i++) {
                VhdxDiskItem d;
                char name[64] = "metadata item ";
                memcpy(&d, table + sizeof(VhdxDiskMetadataTable) + i * sizeof(d), sizeof(d));
                Uuid guid = uuid_from_guid(d.guid);
                VhdxItemKind kind = vhdx_item_kind(&guid, from_le32(d.flags));

                uuid_format(&guid, name + strlen(name));
                const char *called = kind < VHDX_ITEM_KINDS ? vhdx_items[kind].name : name;
                int r = vhdx_item_check(v, &d, kind, called, err);
                if (r < 0)
                        return r;
                VhdxRange range = { v->metadata.pos + from_le32(d.offset), from_le32(d.length) };
                r = range.len ? vhdx_item_add(items, &range, kind, called, err) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int vhdx_items_read(Node *n, VhdxItems *items, Err *err)
{
        const Vhdx *v = n->state;
        _cleanup_free_ void *table = NULL;
        VhdxDiskMetadataTable d;

        int r = table_read(v->store, v->metadata.pos, VHDX_TABLE_LEN, 1, "metadata table", &table,
                           err);
        if (r < 0)
                return r;
        memcpy(&d, table, sizeof(d));
        if (memcmp(d.signature, "metadata", sizeof(d.signature)) != 0)
                return err_set(err, EBADMSG, "the metadata table does not begin with 'metadata'");
        size_t count = from_le16(d.entry_count);
        if (count > VHDX_TABLE_COUNT_MAX)
                return err_set(err, EBADMSG, "metadata table: EntryCount %zu is more than %d",
                               count, VHDX_TABLE_COUNT_MAX);
        items->all = calloc(count + 1, sizeof(*items->all));
        if (!items->all)
                return err_set(err, ENOMEM, "%m");
        return vhdx_items_parse(v, table, count, items, err);
}

/* Reads an item of a fixed length. */
static int vhdx_item_read(
        const Vhdx *v, const VhdxItems *items, VhdxItemKind kind, void *ret, Err *err)
{
        const VhdxRange *range = &items->known[kind];

        if (range->len == 0)
                return err_set(err, EBADMSG, "the metadata has no %s", vhdx_items[kind].name);
        int r = store_read(v->store, ret, (size_t)range->len, range->pos);
        return r < 0 ? err_set(err, -r, "%s: cannot read it: %m", vhdx_items[kind].name) : 0;
}

static int vhdx_parameters_read(Vhdx *v, const VhdxItems *items, Err *err)
{
        VhdxDiskParameters d;

        int r = vhdx_item_read(v, items, VHDX_ITEM_PARAMETERS, &d, err);
        if (r < 0)
                return r;
        uint32_t size = from_le32(d.block_size), flags = from_le32(d.flags);
        if (!is_power_of_two(size) || size < 1 << VHDX_BLOCK_BITS_MIN ||
            size > 1 << VHDX_BLOCK_BITS_MAX)
                return err_set(err, EBADMSG,
                               "BlockSize %" PRIu32 " is not a power of two from 1 MiB to 256 MiB",
                               size);
        if (flags & ~(uint32_t)(VHDX_PARAMETERS_LEAVE_ALLOCATED | VHDX_PARAMETERS_HAS_PARENT))
                return err_set(err, EOPNOTSUPP,
                               "file parameters: flags 0x%" PRIx32 " are not known", flags);
        v->block_bits = (uint32_t)__builtin_ctz(size);
        v->fixed = flags & VHDX_PARAMETERS_LEAVE_ALLOCATED;
        v->has_parent = flags & VHDX_PARAMETERS_HAS_PARENT;
        return 0;
}

static int vhdx_sector_size_read(
        const Vhdx *v, const VhdxItems *items, VhdxItemKind kind, uint32_t *ret_bits, Err *err)
{
        le32 d;

        int r = vhdx_item_read(v, items, kind, &d, err);
        if (r < 0)
                return r;
        uint32_t size = from_le32(d);
        if (size != 512 && size != 4096)
                return err_set(err, EBADMSG, "%s: %" PRIu32 " is neither 512 nor 4096",
                               vhdx_items[kind].name, size);
        *ret_bits = (uint32_t)__builtin_ctz(size);
        return 0;
}

static int vhdx_size_read(Node *n, const VhdxItems *items, Err *err)
{
        Vhdx *v = n->state;
        le64 d;

        int r = vhdx_item_read(v, items, VHDX_ITEM_SIZE, &d, err);
        if (r < 0)
                return r;
        uint64_t size = from_le64(d);
        if (size == 0 || size > VHDX_SIZE_MAX || !is_aligned(size, UINT64_C(1) << v->sector_bits))
                return err_set(err, EBADMSG,
                               "VirtualDiskSize %" PRIu64
                               " is 0, more than 64 TiB, or no multiple of the sector size",
                               size);
        n->size = size;
        v->size_pos = items->known[VHDX_ITEM_SIZE].pos;
        return 0;
}

static int vhdx_parent_read(Node *n, const VhdxItems *items, Err *err)
{
        const Vhdx *v = n->state;
        const VhdxRange *range = &items->known[VHDX_ITEM_LOCATOR];
        _cleanup_free_ void *item = NULL;

        if (!v->has_parent)
                return 0;
        if (range->len == 0)
                return err_set(err, EBADMSG,
                               "the disk has a parent, and there is no parent locator");
        int r = table_read(v->store, range->pos, range->len, 1, "parent locator", &item, err);
        if (r < 0)
                return r;
        r = vhdx_locator_read(n, item, range->len, err);
        return r < 0 ? err_prefix(err, r, "parent locator") : 0;
}

uint64_t vhdx_entry_count(const Vhdx *v, uint64_t size)
{
        uint64_t blocks = vhdx_block_count(v, size);

        /* With a parent the last chunk has its bitmap too, and so all its blocks before it. */
        if (v->has_parent)
                return vhdx_bitmap_index(v, blocks - 1) + 1;
        return vhdx_entry_index(v, blocks - 1) + 1;
}

int vhdx_metadata_read(Node *n, Err *err)
{
        Vhdx *v = n->state;
        _cleanup_items_ VhdxItems items = { 0 };
        uint8_t page_83[VHDX_PAGE_83_LEN];
        uint32_t physical_bits = 0;

        int r = vhdx_items_read(n, &items, err);
        if (r >= 0)
                r = vhdx_parameters_read(v, &items, err);
        if (r >= 0)
                r = vhdx_sector_size_read(v, &items, VHDX_ITEM_LOGICAL_SECTOR, &v->sector_bits,
                                          err);
        if (r >= 0)
                r = vhdx_sector_size_read(v, &items, VHDX_ITEM_PHYSICAL_SECTOR, &physical_bits,
                                          err);
        if (r >= 0)
                r = vhdx_item_read(v, &items, VHDX_ITEM_PAGE_83, page_83, err);
        if (r >= 0)
                r = vhdx_size_read(n, &items, err);
        if (r < 0)
                return r;
        n->sector_size = UINT32_C(1) << v->sector_bits;
        v->chunk_bits = VHDX_BITMAP_BITS + v->sector_bits - v->block_bits;

        uint64_t count = vhdx_entry_count(v, n->size);
        if (count > v->bat.len / sizeof(le64))
                return err_set(err, EBADMSG,
                               "the BAT region of %" PRIu64 " bytes is too short for %" PRIu64
                               " entries",
                               v->bat.len, count);
        return vhdx_parent_read(n, &items, err);
}
