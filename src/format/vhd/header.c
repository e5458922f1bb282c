/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of a dynamic or differencing disk, and the BAT that it points to. */
#include "base/bits.h"
#include "format/vhd/vhd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int vhd_header_get(Node *n, Vhd *v, VhdDiskHeader *ret, Err *err)
{
        v->header_pos = from_be64(vhd_footer(v)->data_offset);
        if (!in_range(v->header_pos, sizeof(*ret), v->footers.file_size))
                return err_set(
                        err, ENODATA,
                        "footer: data offset %" PRIu64
                        ": the dynamic disk header would end past the end of the file (%" PRIu64
                        " bytes)",
                        v->header_pos, v->footers.file_size);
        int r = store_read_named(n->store, ret, sizeof(*ret), v->header_pos,
                                 "the dynamic disk header", err);
        if (r < 0)
                return r;
        if (memcmp(ret->cookie, "cxsparse", sizeof(ret->cookie)) != 0)
                return err_set(err, EBADMSG,
                               "footer: data offset %" PRIu64
                               ": there is no dynamic disk header ('cxsparse') there",
                               v->header_pos);
        if (from_be32(ret->version) != VHD_VERSION)
                return err_set(err, EOPNOTSUPP,
                               "dynamic disk header: version %#" PRIx32 " is not known, only %#x",
                               from_be32(ret->version), VHD_VERSION);
        v->header_broken =
                vhd_checksum(ret, sizeof(*ret), ret->checksum) != from_be32(ret->checksum);
        return 0;
}

static int vhd_set_geometry(Node *n, const VhdDiskHeader *h, Err *err)
{
        Vhd *v = n->state;
        uint64_t entries = from_be32(h->max_table_entries);

        v->block_size = from_be32(h->block_size);
        if (!is_power_of_two(v->block_size) || v->block_size < VHD_SECTOR ||
            v->block_size > VHD_BLOCK_SIZE_MAX)
                return err_set(err, EBADMSG,
                               "block size %" PRIu64
                               " is not a power of two between 512 and 268435456",
                               v->block_size);
        v->block_bits = (uint32_t)__builtin_ctzll(v->block_size);
        v->bitmap_len = round_up(div_round_up(v->block_size / VHD_SECTOR, 8), VHD_SECTOR);
        v->block_count = div_round_up(n->size, v->block_size);
        if (entries < v->block_count)
                return err_set(err, EBADMSG,
                               "max table entries %" PRIu64 " are too few for %" PRIu64
                               " bytes in blocks of %" PRIu64,
                               entries, n->size, v->block_size);
        return 0;
}

int vhd_header_read(Node *n, VhdDiskHeader *ret, Err *err)
{
        Vhd *v = n->state;

        int r = vhd_header_get(n, v, ret, err);
        if (r < 0)
                return r;
        n->size = vhd_footer_size(v->footers.used);
        r = vhd_set_geometry(n, ret, err);
        if (r < 0)
                return r;

        v->bat_pos = from_be64(ret->table_offset);
        if (!in_range(v->bat_pos, v->block_count * sizeof(be32), v->footers.file_size))
                return err_set(err, ENODATA,
                               "table offset %" PRIu64 ": a BAT of %" PRIu64
                               " entries would end past the end of the file (%" PRIu64 " bytes)",
                               v->bat_pos, v->block_count, v->footers.file_size);
        v->parent_id = ret->parent_unique_id;
        v->parent_time_stamp = from_be32(ret->parent_time_stamp);
        return 0;
}
