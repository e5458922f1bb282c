/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/parallels/parallels.h"

#include "base/bits.h"
#include "block/info.h"

#include <errno.h>

static Flat *parallels_flat(Node *n)
{
        Parallels *p = n->state;
        return &p->flat;
}

/* The Flat is the first member. */
static const Parallels *parallels_of(const Flat *f)
{
        return (const Parallels *)f;
}
_Static_assert(offsetof(Parallels, flat) == 0, "a pointer to one is a pointer to the other");

static uint64_t parallels_entry_unit(const Parallels *p)
{
        return p->counts_clusters ? p->tracks : 1;
}

static int parallels_locate(const Flat *f, uint32_t entry, uint64_t *ret_pos)
{
        const Parallels *p = parallels_of(f);

        if (entry == 0)
                return 0;
        uint64_t sector = entry * parallels_entry_unit(p);
        /* The header and the BAT are nobody's cluster. */
        if (sector < p->data_sector)
                return -EIO;
        *ret_pos = sector * PARALLELS_SECTOR;
        return 1;
}

static uint32_t parallels_entry(const Flat *f, uint64_t place)
{
        const Parallels *p = parallels_of(f);

        return (uint32_t)((p->data_sector + place * p->tracks) / parallels_entry_unit(p));
}

int parallels_write_mark(Node *n, uint32_t mark)
{
        Parallels *p = n->state;
        struct {
                le32 in_use, data_off, flags;
        } disk = { to_le32(mark), to_le32(p->data_off), to_le32(p->flags) };

        return store_write(n->store, &disk, sizeof(disk), offsetof(ParallelsDiskHeader, in_use));
}

/* The mark is on the disk before anything else changes. */
static int parallels_prepare(Node *n)
{
        Parallels *p = n->state;

        p->flags &= ~(uint32_t)PARALLELS_FLAG_EMPTY;
        int r = parallels_write_mark(n, PARALLELS_IN_USE);
        if (r >= 0)
                r = node_sync(n);
        if (r >= 0)
                p->is_marked = true;
        return r;
}

static int parallels_finish(Node *n)
{
        Parallels *p = n->state;

        if (!p->is_marked)
                return 0;
        int r = parallels_write_mark(n, PARALLELS_CLOSED);
        if (r < 0)
                return r;
        flat_unprepare(&p->flat);
        p->is_marked = false;
        return 0;
}

/* Both at once: a disk larger than its clusters would be damage. */
static int parallels_write_size(Node *n, uint64_t size, uint64_t count)
{
        struct {
                le32 bat_entries;
                le64 sectors;
        } disk = { to_le32((uint32_t)count), to_le64(size / PARALLELS_SECTOR) };

        return store_write(n->store, &disk, sizeof(disk),
                           offsetof(ParallelsDiskHeader, bat_entries));
}

const FlatKind parallels_kind = {
        .table = "the BAT",
        .empty = 0,
        .locate = parallels_locate,
        .entry = parallels_entry,
        .prepare = parallels_prepare,
        .write_size = parallels_write_size,
};

static int parallels_refuse_writing(const Parallels *p, Err *err)
{
        if (p->refusal[0] != '\0')
                return err_set(
                        err, EOPNOTSUPP,
                        "%s, which writing would make wrong; the image can be opened read-only",
                        p->refusal);
        return 0;
}

static int parallels_open_for_writing(Node *n, Err *err)
{
        Parallels *p = n->state;

        int r = parallels_refuse_writing(p, err);
        if (r < 0)
                return r;
        if (p->is_in_use) {
                r = parallels_repair_unclean(n, err);
                if (r >= 0)
                        r = parallels_header_read(n, err);
                if (r < 0)
                        return r;
                n->repaired = true;
        }
        if (p->data_off_is_bad)
                return err_set(
                        err, EUCLEAN,
                        "data_off %u lies within the BAT or past the end of the file; the image "
                        "can be opened read-only, or repaired with 'rawview check -r all'",
                        p->data_off);
        r = flat_open_writer(n, &p->flat, err);
        if (r < 0 || p->ext_pos == 0)
                return r;
        if (!flat_is_free(&p->flat, p->ext_pos, p->flat.stride))
                return err_set(
                        err, EUCLEAN,
                        "an entry of the BAT leads to the format extension; the image can be "
                        "opened read-only");
        flat_append_only(&p->flat);
        return 0;
}

static int parallels_open(Node *n, Opener *opener, Err *err)
{
        int r = parallels_header_read(n, err);
        if (r < 0 || n->for_check)
                return r;
        r = parallels_extension_read(n, err);
        if (r < 0 || !n->writable)
                return r;
        return parallels_open_for_writing(n, err);
}

static void parallels_close(Node *n)
{
        flat_close(n, parallels_flat(n));
}

static int parallels_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return flat_map(n, parallels_flat(n), off, len, ret);
}

static int parallels_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return flat_alloc(n, parallels_flat(n), off, len, ret);
}

static int parallels_publish(Node *n, const Extent *e)
{
        return flat_publish(n, parallels_flat(n), e);
}

static void parallels_release(Node *n, const Extent *e)
{
        flat_release(n, parallels_flat(n), e);
}

static int parallels_write_back(Node *n)
{
        return flat_write_back(n, parallels_flat(n));
}

static int parallels_discard(
        Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        return flat_discard(n, parallels_flat(n), off, len, ret_off, ret_len);
}

/* The old kind counts sectors in 32 bits. What an extension says of the disk would be wrong for another size. */
static int parallels_resize(Node *n, uint64_t size)
{
        const Parallels *p = n->state;

        if (p->has_features)
                return -EOPNOTSUPP;
        if (!p->counts_clusters && div_round_up(size, PARALLELS_SECTOR) > UINT32_MAX)
                return -EFBIG;
        return flat_resize(n, parallels_flat(n), size);
}

static int parallels_describe(Node *n, Info *info)
{
        const Parallels *p = n->state;

        info->dirty = p->is_in_use && !n->repaired;
        /* qemu-img never says so; what is wrong is worth more than being like it. */
        info->has_no_dirty = !info->dirty;
        return 0;
}

const Format format_parallels = {
        .name = "parallels",
        .snapshots_lie = "each is a file of its own, beside DiskDescriptor.xml, which is not read",
        .magic = { { .at = 0, .len = 16, .bytes = "WithoutFreeSpace" },
                   { .at = 0, .len = 16, .bytes = "WithouFreSpacExt" } },
        .state_size = sizeof(Parallels),
        .open = parallels_open,
        .close = parallels_close,
        .map = parallels_map,
        .alloc = parallels_alloc,
        .publish = parallels_publish,
        .release = parallels_release,
        .write_back = parallels_write_back,
        .finish = parallels_finish,
        .discard = parallels_discard,
        .resize = parallels_resize,
        .check = parallels_check,
        .describe = parallels_describe,
};
