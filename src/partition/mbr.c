/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table that DOS has left behind: four entries in the first sector, and a chain of sectors that hold one logical partition
 * each (EBR). Everything counts sectors of the disk, and nothing in the table says how large these are.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "partition/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
        MBR_ENTRIES = 4,
        MBR_ACTIVE = 0x80,
        MBR_PROTECTIVE = 0xee,
};

typedef struct MbrEntry {
        uint8_t flag, chs_first[3], type, chs_last[3];
        le32 first, count;
} MbrEntry;
_Static_assert(sizeof(MbrEntry) == 16, "as on disk");

typedef struct MbrSector {
        uint8_t code[440];
        le32 id;
        uint8_t copy_protected[2];
        MbrEntry entries[MBR_ENTRIES];
        uint8_t magic[2];
} MbrSector;
_Static_assert(sizeof(MbrSector) == PARSE_SECTOR, "as on disk");

static bool mbr_has_magic(const MbrSector *m)
{
        return m->magic[0] == 0x55 && m->magic[1] == 0xaa;
}

/* A file system without any table ends its first sector in the same way. */
static bool mbr_is_file_system(const uint8_t *sector)
{
        static const struct {
                size_t at;
                const char *text;
        } names[] = {
                { 3, "NTFS    " },  { 3, "EXFAT   " },  { 3, "-FVE-FS-" },
                { 54, "FAT12   " }, { 54, "FAT16   " }, { 54, "FAT     " },
                { 82, "FAT32   " }, { 3, "ReFS" },      { 54, "HPFS    " },
        };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (memcmp(sector + names[i].at, names[i].text, strlen(names[i].text)) == 0)
                        return true;
        return false;
}

static bool mbr_is_used(const MbrEntry *e)
{
        return from_le32(e->count) > 0;
}

static bool mbr_is_extended(const MbrEntry *e)
{
        return e->type == 0x05 || e->type == 0x0f || e->type == 0x85;
}

bool mbr_protects(const uint8_t sector[PARSE_SECTOR])
{
        MbrSector m;

        memcpy(&m, sector, sizeof(m));
        for (size_t i = 0; i < MBR_ENTRIES; i++)
                if (mbr_has_magic(&m) && m.entries[i].type == MBR_PROTECTIVE)
                        return true;
        return false;
}

bool mbr_is_there(const uint8_t sector[PARSE_SECTOR])
{
        MbrSector m;

        memcpy(&m, sector, sizeof(m));
        if (!mbr_has_magic(&m))
                return false;
        bool used = false;
        for (size_t i = 0; i < MBR_ENTRIES; i++) {
                if (m.entries[i].flag != 0 && m.entries[i].flag != MBR_ACTIVE)
                        return false;
                used = used || mbr_is_used(&m.entries[i]);
        }
        /* A boot loader may lie where such a name would be. */
        return used || !mbr_is_file_system(sector);
}

bool mbr_is_empty(const uint8_t sector[PARSE_SECTOR])
{
        MbrSector m;

        memcpy(&m, sector, sizeof(m));
        for (size_t i = 0; mbr_has_magic(&m) && i < MBR_ENTRIES; i++)
                if (mbr_is_used(&m.entries[i]))
                        return false;
        return !mbr_is_file_system(sector);
}

static bool mbr_has_disklabel(const Partition *p)
{
        return p->kind == PARTITION_PLAIN &&
               (p->mbr_type == PARSE_MBR_FREEBSD || p->mbr_type == PARSE_MBR_OPENBSD ||
                p->mbr_type == PARSE_MBR_NETBSD);
}

static void mbr_fill(const PartitionTable *t, const MbrEntry *e, uint32_t number, Partition *ret)
{
        *ret = (Partition){
                .number = number,
                .mbr_type = e->type,
                .bootable = e->flag == MBR_ACTIVE,
        };
        if (t->id[0])
                snprintf(ret->uuid, sizeof(ret->uuid), "%.8s-%02x", t->id, number);
}

/* A chain of logical partitions on its way. */
typedef struct MbrChain {
        const Partition *frame;
        uint64_t first, count; /* of the frame, in sectors */
        uint64_t at;           /* where the next EBR lies */
        uint64_t seen[LIMIT_EBR_CHAIN];
        size_t seen_count;
} MbrChain;

static int mbr_note_place(MbrChain *c, Err *err)
{
        for (size_t i = 0; i < c->seen_count; i++)
                if (c->seen[i] == c->at)
                        return err_set(err, ELOOP,
                                       "the chain of logical partitions in partition %u comes back "
                                       "to sector %llu",
                                       c->frame->number, (unsigned long long)c->at);
        if (c->seen_count == LIMIT_EBR_CHAIN)
                return err_set(err, EFBIG,
                               "the chain of logical partitions in partition %u has more than %d "
                               "links",
                               c->frame->number, LIMIT_EBR_CHAIN);
        c->seen[c->seen_count++] = c->at;
        return 0;
}

/* A logical partition counts from its own EBR, and lies behind it. */
static int mbr_add_logical(
        const PartitionSource *s, PartitionTable *t, const MbrChain *c, const MbrEntry *e, Err *err)
{
        uint64_t first = c->at + from_le32(e->first), count = from_le32(e->count);
        uint32_t number = parse_next_inner(t);
        Partition p;

        if (from_le32(e->first) == 0)
                return err_set(err, EINVAL, "partition %u begins with the sector that describes it",
                               number);
        if (first < c->first || !in_range(first - c->first, count, c->count))
                return err_set(err, EINVAL,
                               "partition %u (%llu sectors from %llu on) does not lie within "
                               "partition %u",
                               number, (unsigned long long)count, (unsigned long long)first,
                               c->frame->number);
        mbr_fill(t, e, number, &p);
        p.kind = PARTITION_LOGICAL;
        return parse_add(s, t, &p, first, count, err);
}

/* 1: there is another link. */
static int mbr_follow(const PartitionSource *s, PartitionTable *t, MbrChain *c, Err *err)
{
        const MbrEntry *next = NULL;
        MbrSector m;

        int r = mbr_note_place(c, err);
        if (r >= 0)
                r = parse_read(s, &m, sizeof(m), c->at * t->sector_size, err);
        if (r < 0)
                return r;
        if (!mbr_has_magic(&m)) {
                /* A frame that was never filled has none; Linux sees no partitions in it. */
                if (c->seen_count == 1)
                        return 0;
                return err_set(err, EINVAL,
                               "the chain of logical partitions in partition %u leads to sector "
                               "%llu, which is none of it",
                               c->frame->number, (unsigned long long)c->at);
        }
        for (size_t i = 0; i < 2; i++) {
                const MbrEntry *e = &m.entries[i];
                if (!mbr_is_used(e))
                        continue;
                if (mbr_is_extended(e)) {
                        next = next ? next : e;
                        continue;
                }
                r = mbr_add_logical(s, t, c, e, err);
                if (r < 0)
                        return r;
        }
        if (!next)
                return 0;
        /* A link counts from the frame. */
        c->at = c->first + from_le32(next->first);
        if (from_le32(next->first) >= c->count)
                return err_set(err, EINVAL,
                               "the chain of logical partitions leads out of partition %u",
                               c->frame->number);
        return 1;
}

static int mbr_add_chain(const PartitionSource *s,
                         PartitionTable *t,
                         const Partition *frame,
                         Err *err)
{
        MbrChain c = {
                .frame = frame,
                .first = frame->start / t->sector_size,
                .count = frame->len / t->sector_size,
                .at = frame->start / t->sector_size,
        };
        int r;

        do
                r = mbr_follow(s, t, &c, err);
        while (r > 0);
        return r;
}

static int mbr_add_all(const PartitionSource *s, const MbrSector *m, PartitionTable *t, Err *err)
{
        for (uint32_t i = 0; i < MBR_ENTRIES; i++) {
                const MbrEntry *e = &m->entries[i];
                Partition p;
                if (!mbr_is_used(e))
                        continue;
                mbr_fill(t, e, i + 1, &p);
                p.kind = mbr_is_extended(e) ? PARTITION_EXTENDED : PARTITION_PLAIN;
                int r = parse_add(s, t, &p, from_le32(e->first), from_le32(e->count), err);
                if (r < 0)
                        return r;
        }
        size_t primary_count = t->count;
        for (size_t i = 0; i < primary_count; i++) {
                if (t->partitions[i].kind != PARTITION_EXTENDED)
                        continue;
                int r = mbr_add_chain(s, t, &t->partitions[i], err);
                if (r < 0)
                        return r;
        }
        int r = parse_check_overlaps(t, err);
        for (size_t i = 0; r >= 0 && i < primary_count; i++)
                if (mbr_has_disklabel(&t->partitions[i]))
                        r = bsd_add_slice(s, t, &t->partitions[i], err);
        return r;
}

/* A frame begins with the first link of its chain, or is empty. */
static bool mbr_begins_known(const PartitionSource *s, const MbrEntry *e, uint64_t off)
{
        MbrSector m;

        if (!mbr_is_extended(e))
                return parse_begins_known(s, off);
        return in_range(off, sizeof(m), s->size) && s->read(s->arg, &m, sizeof(m), off) >= 0 &&
               mbr_has_magic(&m);
}

/* How many partitions begin with something known, if sectors are so large. -1: they are not, some would not lie on the disk. */
static int mbr_count_known(const PartitionSource *s, const MbrSector *m, uint32_t sector_size)
{
        int count = 0;

        for (size_t i = 0; i < MBR_ENTRIES; i++) {
                const MbrEntry *e = &m->entries[i];
                uint64_t first = from_le32(e->first);
                if (!mbr_is_used(e))
                        continue;
                if (!in_range(first, from_le32(e->count), s->size / sector_size))
                        return -1;
                count += mbr_begins_known(s, e, first * sector_size);
        }
        return count;
}

/* Where the image does not say it: 512, as nearly all have, unless nothing known begins there and something does at 4096. */
static uint32_t mbr_choose_sector_size(const PartitionSource *s, const MbrSector *m)
{
        if (s->sector_size > 0)
                return s->sector_size;
        return mbr_count_known(s, m, PARSE_LARGE_SECTOR) > 0 &&
                               mbr_count_known(s, m, PARSE_SECTOR) == 0
                       ? PARSE_LARGE_SECTOR
                       : PARSE_SECTOR;
}

int mbr_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err)
{
        MbrSector m;

        if (!mbr_is_there(sector))
                return 0;
        memcpy(&m, sector, sizeof(m));
        t->scheme = PARTITION_SCHEME_MBR;
        t->sector_size = mbr_choose_sector_size(s, &m);
        if (from_le32(m.id) != 0)
                snprintf(t->id, sizeof(t->id), "%08x", from_le32(m.id));
        int r = mbr_add_all(s, &m, t, err);
        return r < 0 ? r : 1;
}
