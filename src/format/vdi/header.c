/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vdi/vdi.h"

#include "base/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const uint8_t vdi_signature[4] = { 0x7f, 0x10, 0xda, 0xbe };

static int vdi_check_version(const VdiDiskHeader *d, Err *err)
{
        uint32_t version = from_le32(d->version);

        if (memcmp(d->signature.b, vdi_signature, sizeof(vdi_signature)) != 0)
                return err_set(err, EBADMSG, "the signature at 64 is not 7f 10 da be");
        if (version != VDI_VERSION)
                return err_set(err, EOPNOTSUPP, "version %" PRIu32 ".%" PRIu32 " is not 1.1",
                               version >> 16, version & 0xffff);
        if (from_le32(d->header_size) < VDI_HEADER_SIZE_MIN)
                return err_set(err, EBADMSG, "the header size %" PRIu32 " is less than %d",
                               from_le32(d->header_size), VDI_HEADER_SIZE_MIN);
        return 0;
}

/* A parent is named by its UUID alone, so it could only be searched for. */
static int vdi_check_type(const VdiDiskHeader *d, Err *err)
{
        uint32_t type = from_le32(d->image_type);
        Uuid link = uuid_from_guid(d->link_uuid);
        Uuid parent = uuid_from_guid(d->parent_modification_uuid);
        char text[UUID_TEXT_LEN + 1];

        uuid_format(&link, text);
        if (type == VDI_UNDO || type == VDI_DIFFERENCING)
                return err_set(err, EOPNOTSUPP,
                               "image type %" PRIu32
                               " (%s, over the image with the UUID %s) cannot be read",
                               type, type == VDI_UNDO ? "undo" : "differencing", text);
        if (type != VDI_DYNAMIC && type != VDI_FIXED)
                return err_set(err, EOPNOTSUPP,
                               "image type %" PRIu32 " is neither 1 (dynamic) nor 2 (fixed)", type);
        if (!uuid_is_zero(&link) || !uuid_is_zero(&parent))
                return err_set(err, EOPNOTSUPP,
                               "image type %" PRIu32
                               " does not go with a parent, and the link UUID is %s",
                               type, text);
        return 0;
}

static int vdi_check_units(const VdiDiskHeader *d, Err *err)
{
        uint32_t size = from_le32(d->block_size);

        if (from_le32(d->sector_size) != VDI_SECTOR)
                return err_set(err, EOPNOTSUPP, "the sector size %" PRIu32 " is not %d",
                               from_le32(d->sector_size), VDI_SECTOR);
        if (!is_power_of_two(size) || size < VDI_BLOCK_SIZE_MIN)
                return err_set(err, EOPNOTSUPP,
                               "the block size %" PRIu32 " is no power of two, %d or more", size,
                               VDI_BLOCK_SIZE_MIN);
        if (from_le32(d->blocks) > VDI_BLOCK_COUNT_MAX)
                return err_set(err, EFBIG, "%" PRIu32 " blocks are more than %d",
                               from_le32(d->blocks), VDI_BLOCK_COUNT_MAX);
        if (div_round_up(from_le64(d->disk_size), size) > from_le32(d->blocks))
                return err_set(err, EBADMSG,
                               "the disk size %" PRIu64 " is more than %" PRIu32
                               " blocks of %" PRIu32 " bytes",
                               from_le64(d->disk_size), from_le32(d->blocks), size);
        return 0;
}

/* The header, the block map and the data come in this order, and none reaches into the next. */
static int vdi_check_places(const VdiDiskHeader *d, uint64_t file_size, Err *err)
{
        uint64_t header_end = VDI_HEADER_FROM + (uint64_t)from_le32(d->header_size);
        uint64_t map = from_le32(d->map_offset), data = from_le32(d->data_offset);
        uint64_t map_end = map + (uint64_t)from_le32(d->blocks) * FLAT_ENTRY_LEN;

        if (map % VDI_SECTOR != 0)
                return err_set(err, EBADMSG,
                               "the block map offset %" PRIu64 " is not a multiple of %d", map,
                               VDI_SECTOR);
        if (data % VDI_SECTOR != 0)
                return err_set(err, EBADMSG, "the data offset %" PRIu64 " is not a multiple of %d",
                               data, VDI_SECTOR);
        if (map < u64_max(VDI_HEADER_LEN, header_end))
                return err_set(err, EBADMSG,
                               "the block map offset %" PRIu64
                               " lies within the header, which ends at %" PRIu64,
                               map, u64_max(VDI_HEADER_LEN, header_end));
        if (data < map_end)
                return err_set(err, EBADMSG,
                               "the data offset %" PRIu64
                               " lies within the block map, which ends at %" PRIu64,
                               data, map_end);
        if (map_end > map && map >= file_size)
                return err_set(err, ENODATA,
                               "the block map offset %" PRIu64
                               " is past the end of the file (%" PRIu64 " bytes)",
                               map, file_size);
        return 0;
}

static void vdi_set_geometry(Node *n, const VdiDiskHeader *d, uint64_t file_size)
{
        Vdi *v = n->state;
        uint64_t size = from_le32(d->block_size), extra = from_le32(d->block_extra);
        uint64_t map = from_le32(d->map_offset), data = from_le32(d->data_offset);
        uint64_t room = u64_min((data - map) / FLAT_ENTRY_LEN, VDI_BLOCK_COUNT_MAX);

        v->allocated = from_le32(d->blocks_allocated);
        v->flat = (Flat){
                .kind = &vdi_kind,
                .table_pos = map,
                .count = from_le32(d->blocks),
                .count_max = room,
                .block_size = size,
                .first_pos = data,
                .stride = size + extra,
                .lead = extra,
                .place_max = room,
                .places_on_disk = v->allocated,
                .file_size = file_size,
                .unproven = from_le32(d->image_type) == VDI_FIXED,
        };
        /* A disk is whole sectors, for VirtualBox and QEMU too. */
        n->size = round_up(from_le64(d->disk_size), VDI_SECTOR);
}

int vdi_header_read(Node *n, Err *err)
{
        VdiDiskHeader d;
        uint64_t file_size = 0;

        int r = store_get_size(n->store, &file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = store_read_named(n->store, &d, sizeof(d), 0, "the header", err);
        if (r < 0)
                return r;
        r = vdi_check_version(&d, err);
        if (r >= 0)
                r = vdi_check_type(&d, err);
        if (r >= 0)
                r = vdi_check_units(&d, err);
        if (r >= 0)
                r = vdi_check_places(&d, file_size, err);
        if (r < 0)
                return r;
        vdi_set_geometry(n, &d, file_size);
        return 0;
}
