/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vdi/vdi.h"

#include "block/info.h"

#include <errno.h>

static Flat *vdi_flat(Node *n)
{
        Vdi *v = n->state;
        return &v->flat;
}

static int vdi_locate(const Flat *f, uint32_t entry, uint64_t *ret_pos)
{
        if (entry == VDI_FREE || entry == VDI_ZERO)
                return 0;
        /* The count of allocated blocks is no bound here: others write it after the map, so a crash can leave it behind. */
        if (entry >= f->count)
                return -EIO;
        *ret_pos = flat_place_pos(f, entry);
        return 1;
}

static uint32_t vdi_entry(const Flat *f, uint64_t place)
{
        return (uint32_t)place;
}

/* Whoever has made a differencing image over this one sees by the UUID that its contents are others now. */
static int vdi_prepare(Node *n)
{
        Uuid uuid;

        int r = uuid_make(&uuid);
        if (r < 0)
                return r;
        le_guid disk = uuid_to_guid(uuid);
        r = store_write(n->store, &disk, sizeof(disk), offsetof(VdiDiskHeader, modification_uuid));
        return r < 0 ? r : node_sync(n);
}

static int vdi_write_count(Node *n, uint64_t places)
{
        le32 disk = to_le32((uint32_t)places);
        return store_write(n->store, &disk, sizeof(disk),
                           offsetof(VdiDiskHeader, blocks_allocated));
}

/* Both at once: a disk larger than its blocks would be damage. */
static int vdi_write_size(Node *n, uint64_t size, uint64_t count)
{
        const Flat *f = vdi_flat(n);
        struct {
                le64 disk_size;
                le32 block_size, block_extra, blocks;
        } disk = { to_le64(size), to_le32((uint32_t)f->block_size), to_le32((uint32_t)f->lead),
                   to_le32((uint32_t)count) };

        return store_write(n->store, &disk, sizeof(disk), offsetof(VdiDiskHeader, disk_size));
}

const FlatKind vdi_kind = {
        .table = "the block map",
        .empty = VDI_FREE,
        .locate = vdi_locate,
        .entry = vdi_entry,
        .prepare = vdi_prepare,
        .write_count = vdi_write_count,
        .write_size = vdi_write_size,
};

static int vdi_open(Node *n, Opener *opener, Err *err)
{
        int r = vdi_header_read(n, err);
        if (r < 0 || !n->writable || n->for_check)
                return r;
        return flat_open_writer(n, vdi_flat(n), err);
}

static void vdi_close(Node *n)
{
        flat_close(n, vdi_flat(n));
}

static int vdi_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return flat_map(n, vdi_flat(n), off, len, ret);
}

static int vdi_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return flat_alloc(n, vdi_flat(n), off, len, ret);
}

static int vdi_publish(Node *n, const Extent *e)
{
        return flat_publish(n, vdi_flat(n), e);
}

static void vdi_release(Node *n, const Extent *e)
{
        flat_release(n, vdi_flat(n), e);
}

static int vdi_write_back(Node *n)
{
        return flat_write_back(n, vdi_flat(n));
}

static int vdi_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        return flat_discard(n, vdi_flat(n), off, len, ret_off, ret_len);
}

static int vdi_resize(Node *n, uint64_t size)
{
        return flat_resize(n, vdi_flat(n), size);
}

static int vdi_describe(Node *n, Info *info)
{
        info->cluster_size = vdi_flat(n)->block_size;
        return 0;
}

const Format format_vdi = {
        .name = "vdi",
        .snapshots_lie = "each is a file of its own, which can be shown",
        .magic = { { .at = 0x40, .len = 4, .bytes = "\x7f\x10\xda\xbe" } },
        .state_size = sizeof(Vdi),
        .open = vdi_open,
        .close = vdi_close,
        .map = vdi_map,
        .alloc = vdi_alloc,
        .publish = vdi_publish,
        .release = vdi_release,
        .write_back = vdi_write_back,
        .discard = vdi_discard,
        .resize = vdi_resize,
        .check = vdi_check,
        .describe = vdi_describe,
};
