/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/parallels/parallels.h"

#include "base/bits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char parallels_magic_sectors[] = "WithoutFreeSpace",
                  parallels_magic_clusters[] = "WithouFreSpacExt";

static int parallels_check_kind(const ParallelsDiskHeader *d, Err *err)
{
        uint32_t flags = from_le32(d->flags);

        if (memcmp(d->magic, parallels_magic_sectors, sizeof(d->magic)) != 0 &&
            memcmp(d->magic, parallels_magic_clusters, sizeof(d->magic)) != 0)
                return err_set(err, EBADMSG, "the file begins neither with \"%s\" nor with \"%s\"",
                               parallels_magic_sectors, parallels_magic_clusters);
        if (from_le32(d->version) != PARALLELS_VERSION)
                return err_set(err, EOPNOTSUPP, "version %" PRIu32 " is not %d",
                               from_le32(d->version), PARALLELS_VERSION);
        if (flags & ~(uint32_t)PARALLELS_FLAG_EMPTY)
                return err_set(err, EOPNOTSUPP,
                               "flags 0x%" PRIx32 " have bits that are not known, 0x%" PRIx32,
                               flags, flags & ~(uint32_t)PARALLELS_FLAG_EMPTY);
        return 0;
}

static int parallels_check_sizes(const ParallelsDiskHeader *d, uint64_t sectors, Err *err)
{
        uint32_t tracks = from_le32(d->tracks), entries = from_le32(d->bat_entries);

        if (tracks == 0)
                return err_set(err, EBADMSG, "tracks, the sectors of a cluster, is 0");
        if (tracks > PARALLELS_TRACKS_MAX)
                return err_set(err, EFBIG,
                               "tracks %" PRIu32 ", the sectors of a cluster, is more than %d",
                               tracks, PARALLELS_TRACKS_MAX);
        if (entries > PARALLELS_BAT_COUNT_MAX)
                return err_set(err, EFBIG, "bat_entries %" PRIu32 " is more than %d", entries,
                               PARALLELS_BAT_COUNT_MAX);
        if (div_round_up(sectors, tracks) > entries)
                return err_set(err, EBADMSG,
                               "nb_sectors %" PRIu64 " is more than %" PRIu32
                               " clusters of %" PRIu32 " sectors",
                               sectors, entries, tracks);
        return 0;
}

static int parallels_check_places(const ParallelsDiskHeader *d, uint64_t file_size, Err *err)
{
        uint64_t ext = from_le64(d->ext_off), tracks = from_le32(d->tracks);

        if (from_le32(d->bat_entries) > 0 && file_size <= PARALLELS_BAT)
                return err_set(err, ENODATA, "the file ends before the BAT");
        if (ext > INT64_MAX / PARALLELS_SECTOR)
                return err_set(err, EFBIG, "ext_off %" PRIu64 " is more than %" PRIu64, ext,
                               (uint64_t)INT64_MAX / PARALLELS_SECTOR);
        if (ext % tracks != 0)
                return err_set(err, EBADMSG,
                               "ext_off %" PRIu64 " is not a multiple of a cluster's %" PRIu64
                               " sectors",
                               ext, tracks);
        return 0;
}

/* The first sector that no entry of the BAT reaches into. */
static uint64_t parallels_least_data(const Parallels *p, uint64_t entries)
{
        uint64_t end = div_round_up(PARALLELS_BAT + entries * FLAT_ENTRY_LEN, PARALLELS_SECTOR);
        return p->counts_clusters ? multiple_up(end, p->tracks) : end;
}

static void parallels_set_geometry(Parallels *p, const ParallelsDiskHeader *d, uint64_t file_size)
{
        uint64_t entries = from_le32(d->bat_entries), least = 0;

        p->counts_clusters = d->magic[6] == parallels_magic_clusters[6];
        p->is_in_use = from_le32(d->in_use) == PARALLELS_IN_USE;
        p->tracks = from_le32(d->tracks);
        p->flags = from_le32(d->flags);
        p->data_off = from_le32(d->data_off);
        p->ext_pos = from_le64(d->ext_off) * PARALLELS_SECTOR;

        /* Specification, "data_off": old software leaves it 0. */
        least = parallels_least_data(p, entries);
        p->data_sector = p->data_off;
        p->data_off_is_bad = p->data_off < least || p->data_off > file_size / PARALLELS_SECTOR;
        if (p->data_off == 0 && !p->counts_clusters)
                p->data_off_is_bad = false;
        if (p->data_off_is_bad || p->data_off == 0)
                p->data_sector = least;
        /* A place is as many clusters behind the beginning as its entry says. */
        if (p->counts_clusters)
                p->data_sector = multiple_up(p->data_sector, p->tracks);
}

static void parallels_set_flat(Parallels *p, uint64_t entries, uint64_t file_size)
{
        uint64_t first = p->data_sector * PARALLELS_SECTOR;
        uint64_t room = (first - PARALLELS_BAT) / FLAT_ENTRY_LEN;
        uint64_t unit = p->counts_clusters ? p->tracks : 1;

        p->flat = (Flat){
                .kind = &parallels_kind,
                .table_pos = PARALLELS_BAT,
                .count = entries,
                .count_max = u64_min(room, PARALLELS_BAT_COUNT_MAX),
                .block_size = (uint64_t)p->tracks * PARALLELS_SECTOR,
                .first_pos = first,
                .stride = (uint64_t)p->tracks * PARALLELS_SECTOR,
                .file_size = file_size,
        };
        /* What the last entry that there can be says. */
        uint64_t last = UINT32_MAX * unit;
        p->flat.place_max = last > p->data_sector ? (last - p->data_sector) / p->tracks : 0;
}

int parallels_header_read(Node *n, Err *err)
{
        Parallels *p = n->state;
        ParallelsDiskHeader d;
        uint64_t file_size = 0;

        int r = store_get_size(n->store, &file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = store_read_named(n->store, &d, sizeof(d), 0, "the header", err);
        if (r < 0)
                return r;
        r = parallels_check_kind(&d, err);
        if (r < 0)
                return r;
        uint64_t sectors = from_le64(d.sectors);
        if (memcmp(d.magic, parallels_magic_sectors, sizeof(d.magic)) == 0)
                sectors &= UINT32_MAX;
        r = parallels_check_sizes(&d, sectors, err);
        if (r >= 0)
                r = parallels_check_places(&d, file_size, err);
        if (r < 0)
                return r;
        parallels_set_geometry(p, &d, file_size);
        parallels_set_flat(p, from_le32(d.bat_entries), file_size);
        n->size = sectors * PARALLELS_SECTOR;
        return 0;
}
