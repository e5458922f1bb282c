/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disklabels of FreeBSD, NetBSD and OpenBSD (disklabel(5) of each): one lies in the second sector of an MBR partition of theirs, and
 * describes what that is divided into, or in the second sector of a disk without an MBR. They count sectors of the disk, from its
 * start on; FreeBSD's newer ones from the start of their partition on, which can be told by the third entry: that is all of it.
 *
 * As Linux does it, what a label says of other places than its partition is passed over: OpenBSD lists all of the disk there.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "partition/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BSD_MAGIC UINT32_C(0x82564557)

enum {
        BSD_ENTRIES_MAX = 22,       /* of NetBSD */
        BSD_SLICE_ENTRIES_MAX = 16, /* more of them Linux does not look at */
        BSD_WHOLE = 2,
        BSD_UNUSED = 0,
        BSD_WORD = 2,
};

typedef struct BsdEntry {
        le32 count, first, fragment_size;
        uint8_t type, fragments;
        le16 cylinders;
} BsdEntry;
_Static_assert(sizeof(BsdEntry) == 16, "as on disk");

typedef struct BsdLabel {
        le32 magic;
        uint8_t names[36];
        le32 sector_size;
        uint8_t geometry[88];
        le32 magic2;
        le16 sum, count;
        le32 boot_size, superblock_size;
        BsdEntry entries[BSD_ENTRIES_MAX];
        uint8_t rest[12];
} BsdLabel;
_Static_assert(sizeof(BsdLabel) == PARSE_SECTOR, "as on disk");

/* A label, and where what it describes lies: all in sectors. */
typedef struct BsdPlace {
        uint64_t first, count;
        uint32_t parent; /* number of the partition; 0: the disk */
        uint8_t type;    /* of the MBR entry */
} BsdPlace;

/* 1: it is one, and sound. 0: there is none. EINVAL: it calls itself one. */
static int bsd_check(const BsdLabel *l, Err *err)
{
        const uint8_t *bytes = (const uint8_t *)l;
        uint32_t count = from_le16(l->count);
        uint8_t sum[BSD_WORD] = { 0 };

        if (from_le32(l->magic) != BSD_MAGIC)
                return 0;
        if (from_le32(l->magic2) != BSD_MAGIC)
                return err_set(err, EINVAL, "its second magic is %08x", from_le32(l->magic2));
        if (count > BSD_ENTRIES_MAX)
                return err_set(err, EINVAL, "it has %u entries, and %d are possible", count,
                               BSD_ENTRIES_MAX);
        size_t len = offsetof(BsdLabel, entries) + count * sizeof(BsdEntry);
        for (size_t i = 0; i < len; i++)
                sum[i % BSD_WORD] ^= bytes[i];
        return sum[0] == 0 && sum[1] == 0 ? 1 : err_set(err, EINVAL, "its checksum is wrong");
}

/* In the sector behind the first one of the place. */
static int bsd_read(const PartitionSource *s,
                    uint32_t sector_size,
                    const BsdPlace *place,
                    BsdLabel *ret,
                    Err *err)
{
        if (place->count < 2)
                return 0;
        int r = parse_read(s, ret, sizeof(*ret), (place->first + 1) * sector_size, err);
        return r < 0 ? r : bsd_check(ret, err);
}

static bool bsd_is_relative(const BsdLabel *l, const BsdPlace *place)
{
        return place->type == PARSE_MBR_FREEBSD && from_le16(l->count) > BSD_WHOLE &&
               from_le32(l->entries[BSD_WHOLE].first) == 0;
}

/* Not all of the place once more, and nothing that does not lie there; of a whole disk that is an error. */
static bool bsd_is_part(const BsdPlace *place, const BsdEntry *e, uint64_t first)
{
        uint64_t count = from_le32(e->count);

        if (e->type == BSD_UNUSED || count == 0)
                return false;
        if (place->parent > 0 &&
            (first < place->first || !in_range(first - place->first, count, place->count)))
                return false;
        return first != place->first || count != place->count;
}

static int bsd_fill(const PartitionSource *s,
                    PartitionTable *t,
                    const BsdPlace *place,
                    const BsdLabel *l,
                    Err *err)
{
        uint64_t base = bsd_is_relative(l, place) ? place->first : 0;
        uint32_t max = place->parent ? BSD_SLICE_ENTRIES_MAX : BSD_ENTRIES_MAX;
        int r = 0;

        for (uint32_t i = 0; r >= 0 && i < from_le16(l->count) && i < max; i++) {
                const BsdEntry *e = &l->entries[i];
                uint64_t first = base + from_le32(e->first);
                Partition p = { .kind = PARTITION_BSD,
                                .parent = place->parent,
                                .bsd_type = e->type };
                if (!bsd_is_part(place, e, first))
                        continue;
                p.number = place->parent ? parse_next_inner(t) : (uint32_t)t->count + 1;
                if (place->parent)
                        snprintf(p.name, sizeof(p.name), "s%u%c", place->parent, 'a' + (int)i);
                else
                        snprintf(p.name, sizeof(p.name), "%c", 'a' + (int)i);
                r = parse_add(s, t, &p, first, from_le32(e->count), err);
        }
        return r >= 0 ? parse_check_overlaps(t, err) : r;
}

int bsd_add_slice(const PartitionSource *s, PartitionTable *t, const Partition *slice, Err *err)
{
        const BsdPlace place = {
                .first = slice->start / t->sector_size,
                .count = slice->len / t->sector_size,
                .parent = slice->number,
                .type = slice->mbr_type,
        };
        size_t count = t->count;
        BsdLabel l;
        Err why = { "" };

        int r = bsd_read(s, t->sector_size, &place, &l, &why);
        if (r > 0)
                r = bsd_fill(s, t, &place, &l, &why);
        /* That the disk cannot be read, or has too many of them, is not the label's fault. */
        if (r < 0 && r != -EINVAL)
                return err_set(err, -r, "%s", why.text);
        if (r >= 0)
                return 0;
        t->count = count;
        snprintf(
                t->damage, sizeof(t->damage),
                "the disklabel in partition %u cannot be used (%.150s); what it holds is not shown",
                slice->number, why.text);
        return 0;
}

int bsd_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err)
{
        static const uint32_t sizes[] = { PARSE_SECTOR, PARSE_LARGE_SECTOR };
        BsdLabel l;

        if (!mbr_is_empty(sector))
                return 0;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                const BsdPlace place = { .count = s->size / sizes[i] };
                /* One that is damaged is what is left of it beneath something newer. */
                if (bsd_read(s, sizes[i], &place, &l, NULL) <= 0 ||
                    from_le32(l.sector_size) != sizes[i])
                        continue;
                t->scheme = PARTITION_SCHEME_BSD;
                t->sector_size = sizes[i];
                int r = bsd_fill(s, t, &place, &l, err);
                return r < 0 ? r : 1;
        }
        return 0;
}
