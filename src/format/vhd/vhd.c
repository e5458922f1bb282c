/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vhd/vhd.h"
#include "format/vhd/writer.h"

#include "base/bits.h"
#include "block/info.h"
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* In the first sector the cookie is enough. At the end of a file, which may be the end of a guest's disk, everything has to
 * fit. */
static int vhd_probe(const Probe *p)
{
        return memcmp(p->head, "conectix", 8) == 0 || vhd_is_fixed(p);
}

static int vhd_open_fixed(Node *n, Err *err)
{
        const Vhd *v = n->state;
        const VhdFooter *f = v->footers.used;
        uint64_t size = vhd_footer_size(f);

        /* A geometry that was rounded up by a program that did not make the file as long. */
        if (size > f->pos)
                size = from_be64(f->disk.current_size);
        if (size > f->pos)
                return err_set(err, ENODATA,
                               "footer: current size %" PRIu64 ", but only %" PRIu64
                               " bytes are in front of it",
                               size, f->pos);
        n->size = size;
        return 0;
}

static int vhd_refuse(const Node *n, const Vhd *v, Err *err)
{
        if (!n->writable || n->for_check)
                return 0;
        if (v->type == VHD_DIFFERENCING)
                return err_set(err, EOPNOTSUPP,
                               "disk type 4: a differencing disk can only be opened read-only");
        if (vhd_footer(v)->saved_state)
                return err_set(
                        err, EUCLEAN,
                        "a virtual machine has saved its state and would go on with the disk "
                        "as it is; it can be opened read-only");
        return 0;
}

static int vhd_open_blocks(Node *n, Err *err)
{
        Vhd *v = n->state;
        VhdDiskHeader header;

        int r = vhd_header_read(n, &header, err);
        if (r < 0 || n->for_check)
                return r;
        if (v->type == VHD_DIFFERENCING)
                return vhd_read_parents(n, &header, err);
        if (!n->writable)
                return 0;
        n->granule = v->block_size;
        return vhd_writer_open(n, err);
}

static int vhd_open(Node *n, Opener *opener, Err *err)
{
        Vhd *v = n->state;

        int r = vhd_footers_read(n->store, &v->footers, err);
        if (r < 0)
                return r;
        v->type = (VhdType)from_be32(vhd_footer(v)->disk_type);
        atomic_init(&v->file_end, v->footers.file_size);
        r = vhd_refuse(n, v, err);
        if (r < 0)
                return r;
        return v->type == VHD_FIXED ? vhd_open_fixed(n, err) : vhd_open_blocks(n, err);
}

static void vhd_close(Node *n)
{
        if (n->state)
                vhd_writer_close(n);
}

static int vhd_describe(Node *n, Info *info)
{
        const Vhd *v = n->state;
        char id[UUID_TEXT_LEN + 1];

        if (v->type == VHD_FIXED)
                return 0;
        info->cluster_size = v->block_size;
        if (v->type != VHD_DIFFERENCING)
                return 0;
        uuid_format(&v->parent_id, id);
        int r = info_add_text(info, "parent-unique-id", id);
        return r < 0 ? r : info_add_number(info, "parent-time-stamp", v->parent_time_stamp);
}

const Format format_vhd = {
        .name = "vhd",
        .snapshots_lie = "each is a file of its own, which can be shown",
        .qemu_name = "vpc",
        .magic = {
                { .at = 0, .len = 8, .bytes = "conectix" },
                { .at = -VHD_FOOTER_LEN, .len = 8, .bytes = "conectix" },
                { .at = -VHD_SHORT_FOOTER_LEN, .len = 8, .bytes = "conectix" },
        },
        .state_size = sizeof(Vhd),
        .probe = vhd_probe,
        .open = vhd_open,
        .check_backing = vhd_check_parent,
        .close = vhd_close,
        .map = vhd_map,
        .alloc = vhd_alloc,
        .publish = vhd_publish,
        .release = vhd_release,
        .write_back = vhd_write_back,
        .discard = vhd_discard,
        .check = vhd_check,
        .describe = vhd_describe,
};
