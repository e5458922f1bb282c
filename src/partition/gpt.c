/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GUID partition tables (UEFI 2.10, chapter 5): a header in the second sector and one in the last, each with entries of its own and
 * checksums of both. How large a sector is nothing says but the place where the header lies.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "base/utf16.h"
#include "codec/sum.h"
#include "partition/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
        GPT_HEADER_MIN = 92,
        GPT_SECTOR_MAX = 4096,
        GPT_ENTRY_MIN = 128,
        GPT_NAME_UNITS = 36,
        GPT_BIOS_BOOTABLE = 2, /* bit of the attributes */
        /* So much at the start of a disk is zero when somebody has wiped it, and no file system lies there. */
        GPT_WIPED = 68 * 1024,
};

typedef struct GptHeader {
        char magic[8];
        le32 revision, header_size, header_crc, reserved;
        le64 own, other, first_usable, last_usable;
        le_guid disk;
        le64 entries;
        le32 entry_count, entry_size, entries_crc;
} GptHeader;
_Static_assert(sizeof(GptHeader) == GPT_HEADER_MIN, "as on disk");

typedef struct GptEntry {
        le_guid type, id;
        le64 first, last, attributes;
        le16 name[GPT_NAME_UNITS];
} GptEntry;
_Static_assert(sizeof(GptEntry) == GPT_ENTRY_MIN, "as on disk");

/* A place where a header may be. */
typedef struct GptPlace {
        uint32_t sector_size;
        uint64_t number; /* of the sector */
} GptPlace;

/* A header that is sound, and whose entries are. */
typedef struct GptSound {
        GptPlace place;
        GptHeader header;
} GptSound;

static bool gpt_has_magic(const GptHeader *h)
{
        return memcmp(h->magic, "EFI PART", sizeof(h->magic)) == 0;
}

static int gpt_check_header_sum(const uint8_t *sector, const GptPlace *at, Err *err)
{
        static const uint8_t none[4];
        const GptHeader *h = (const GptHeader *)sector;
        uint32_t len = from_le32(h->header_size);
        size_t sum_at = offsetof(GptHeader, header_crc), behind = sum_at + sizeof(none);

        if (len < GPT_HEADER_MIN || len > at->sector_size)
                return err_set(err, EINVAL, "header of %u bytes", len);
        uint32_t sum = crc32_over(0, sector, sum_at);
        sum = crc32_over(sum, none, sizeof(none));
        sum = crc32_over(sum, sector + behind, len - behind);
        if (sum != from_le32(h->header_crc))
                return err_set(err, EINVAL, "its checksum is %08x where the header says %08x", sum,
                               from_le32(h->header_crc));
        return 0;
}

static int gpt_check_fields(const PartitionSource *s,
                            const GptHeader *h,
                            const GptPlace *at,
                            Err *err)
{
        uint32_t count = from_le32(h->entry_count), size = from_le32(h->entry_size);
        uint64_t sectors = s->size / at->sector_size;

        if (from_le64(h->own) != at->number)
                return err_set(err, EINVAL, "it says that it lies in sector %llu",
                               (unsigned long long)from_le64(h->own));
        if (size < GPT_ENTRY_MIN || size > LIMIT_GPT_ENTRY_SIZE || !is_power_of_two(size))
                return err_set(err, EINVAL, "entries of %u bytes are not possible", size);
        if (count > LIMIT_GPT_ENTRIES)
                return err_set(err, EFBIG, "%u entries are more than %d", count, LIMIT_GPT_ENTRIES);
        if (from_le64(h->entries) >= sectors ||
            !in_range(from_le64(h->entries) * at->sector_size, (uint64_t)count * size, s->size))
                return err_set(err, EINVAL, "the entries, from sector %llu on, lie past the end",
                               (unsigned long long)from_le64(h->entries));
        return 0;
}

typedef int (*GptTake)(void *arg, const uint8_t *entry, uint32_t index, Err *err);

/* All entries one after the other, which are powers of two long and so never lie across two buffers. */
static int gpt_for_each(
        const PartitionSource *s, const GptSound *g, GptTake take, void *arg, Err *err)
{
        uint32_t size = from_le32(g->header.entry_size), index = 0;
        uint64_t pos = from_le64(g->header.entries) * g->place.sector_size;
        uint64_t left = (uint64_t)from_le32(g->header.entry_count) * size;
        uint8_t buf[LIMIT_GPT_ENTRY_SIZE];

        while (left > 0) {
                size_t len = (size_t)u64_min(left, sizeof(buf));
                int r = parse_read(s, buf, len, pos, err);
                for (size_t i = 0; r >= 0 && i < len; i += size)
                        r = take(arg, buf + i, index++, err);
                if (r < 0)
                        return r;
                pos += len;
                left -= len;
        }
        return 0;
}

typedef struct GptSum {
        uint32_t sum, entry_size;
} GptSum;

static int gpt_sum_entry(void *arg, const uint8_t *entry, uint32_t index, Err *err)
{
        GptSum *sum = arg;

        sum->sum = crc32_over(sum->sum, entry, sum->entry_size);
        return 0;
}

/* 0: sound. EINVAL, EFBIG: why it is not, and *ret has the header as far as it could be read. */
static int gpt_try(const PartitionSource *s, const GptPlace *at, GptSound *ret, Err *err)
{
        _Alignas(GptHeader) uint8_t sector[GPT_SECTOR_MAX];
        GptSum sum = { 0 };

        memset(ret, 0, sizeof(*ret));
        ret->place = *at;
        int r = parse_read(s, sector, at->sector_size, at->number * at->sector_size, err);
        if (r < 0)
                return r;
        memcpy(&ret->header, sector, sizeof(ret->header));
        if (!gpt_has_magic(&ret->header))
                return err_set(err, EINVAL, "there is none");
        r = gpt_check_header_sum(sector, at, err);
        if (r >= 0)
                r = gpt_check_fields(s, &ret->header, at, err);
        if (r < 0)
                return r;
        sum.entry_size = from_le32(ret->header.entry_size);
        r = gpt_for_each(s, ret, gpt_sum_entry, &sum, err);
        if (r < 0)
                return r;
        if (sum.sum != from_le32(ret->header.entries_crc))
                return err_set(err, EINVAL,
                               "the checksum of its entries is %08x where it says %08x", sum.sum,
                               from_le32(ret->header.entries_crc));
        return 0;
}

enum {
        GPT_SECTOR_SIZES = 2,
};

/* The one that is stated first; a table in the other one is one all the same: its checksums are right. */
static uint32_t gpt_sector_size(const PartitionSource *s, size_t i)
{
        bool large = s->sector_size == GPT_SECTOR_MAX ? i == 0 : i == 1;
        return large ? GPT_SECTOR_MAX : PARSE_SECTOR;
}

/* `why` is of the one that says that it is a header, if one does. */
static int gpt_try_primary(const PartitionSource *s, GptSound *ret, Err *why)
{
        for (size_t i = 0; i < GPT_SECTOR_SIZES; i++) {
                GptPlace at = { gpt_sector_size(s, i), 1 };
                Err again;

                if (s->size < 2 * (uint64_t)at.sector_size)
                        continue;
                int r = gpt_try(s, &at, ret, &again);
                if (r >= 0)
                        return 0;
                if (i == 0 || gpt_has_magic(&ret->header))
                        *why = again;
        }
        return -ENOENT;
}

/* Where the header that is damaged says, which is true when its entries are what is damaged; and in the last sector. */
static int gpt_try_backup(const PartitionSource *s, GptSound *ret, Err *why)
{
        for (size_t i = 0; i < GPT_SECTOR_SIZES; i++) {
                uint32_t size = gpt_sector_size(s, i);
                GptPlace places[2] = { { size, s->size / size - 1 }, { size, 0 } };
                GptHeader primary = { 0 };

                if (s->size < 3 * (uint64_t)size)
                        continue;
                if (s->read(s->arg, &primary, sizeof(primary), size) < 0)
                        continue;
                if (gpt_has_magic(&primary) && from_le64(primary.other) > 1 &&
                    from_le64(primary.other) < s->size / size)
                        places[1].number = from_le64(primary.other);
                for (size_t k = 0; k < 2 && places[k].number > 0; k++) {
                        Err again;
                        if (gpt_try(s, &places[k], ret, &again) >= 0)
                                return 0;
                        if ((i == 0 && k == 0) || gpt_has_magic(&ret->header))
                                *why = again;
                }
        }
        return -ENOENT;
}

/* What is no UTF-16 becomes '?': names are for people. */
static void gpt_read_name(const le16 *units, char *ret)
{
        size_t len = 0;

        for (size_t i = 0; i < GPT_NAME_UNITS && from_le16(units[i]) != 0;) {
                size_t count =
                        i + 1 < GPT_NAME_UNITS && (from_le16(units[i]) & 0xfc00) == 0xd800 ? 2 : 1;
                char *to = ret + len;
                if (utf16_to_utf8(UTF16_LE, &units[i], count * 2, to, PARTITION_NAME_MAX - len) <
                    0) {
                        count = 1;
                        strcpy(to, "?");
                }
                len += strlen(to);
                i += count;
        }
        ret[len] = '\0';
}

typedef struct GptFill {
        const PartitionSource *source;
        PartitionTable *table;
} GptFill;

static int gpt_add_entry(void *arg, const uint8_t *bytes, uint32_t index, Err *err)
{
        const GptFill *fill = arg;
        Partition p = { .number = index + 1 };
        GptEntry e;

        memcpy(&e, bytes, sizeof(e));
        p.gpt_type = uuid_from_guid(e.type);
        if (uuid_is_zero(&p.gpt_type))
                return 0;
        uint64_t first = from_le64(e.first), last = from_le64(e.last);
        if (last < first || last == UINT64_MAX)
                return err_set(err, EINVAL,
                               "partition %u ends with sector %llu, before it begins (%llu)",
                               p.number, (unsigned long long)last, (unsigned long long)first);
        Uuid id = uuid_from_guid(e.id);
        uuid_format(&id, p.uuid);
        p.bootable = from_le64(e.attributes) >> GPT_BIOS_BOOTABLE & 1;
        gpt_read_name(e.name, p.name);
        return parse_add(fill->source, fill->table, &p, first, last - first + 1, err);
}

static int gpt_fill(const PartitionSource *s, const GptSound *g, PartitionTable *t, Err *err)
{
        GptFill fill = { s, t };
        Uuid id = uuid_from_guid(g->header.disk);

        t->sector_size = g->place.sector_size;
        uuid_format(&id, t->id);
        int r = gpt_for_each(s, g, gpt_add_entry, &fill, err);
        if (r >= 0)
                r = parse_check_overlaps(t, err);
        return r < 0 ? r : 1;
}

/* With the first sectors everything has gone: 1. What lies there says nothing of a table then. */
static int gpt_start_is_wiped(const PartitionSource *s)
{
        uint8_t buf[4096];

        if (s->size < GPT_WIPED)
                return 0;
        for (uint64_t off = 0; off < GPT_WIPED; off += sizeof(buf)) {
                if (s->read(s->arg, buf, sizeof(buf), off) < 0)
                        return 0;
                for (size_t i = 0; i < sizeof(buf); i++)
                        if (buf[i] != 0)
                                return 0;
        }
        return 1;
}

/* The first sector speaks of no GPT. One whose MBR alone is lost is one still; an MBR beside a GPT that it does not protect says
 * that somebody has made a new table, and what Linux believes is the MBR. */
static int gpt_parse_unprotected(const PartitionSource *s,
                                 const uint8_t *sector,
                                 PartitionTable *t,
                                 Err *err)
{
        GptSound found;
        Err why = { "" };

        if (mbr_is_there(sector))
                return 0;
        int r = gpt_try_primary(s, &found, &why);
        if (r >= 0)
                snprintf(t->damage, sizeof(t->damage), "the protective MBR is missing");
        else if (!gpt_start_is_wiped(s) || gpt_try_backup(s, &found, &why) < 0)
                return 0;
        else
                snprintf(t->damage, sizeof(t->damage),
                         "the start of the disk is zeroes; the GPT is that of its end");
        t->scheme = PARTITION_SCHEME_GPT;
        return gpt_fill(s, &found, t, err);
}

int gpt_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err)
{
        Err primary_why = { "the disk is too small for one" }, backup_why = primary_why;
        GptSound found;

        if (!mbr_protects(sector))
                return gpt_parse_unprotected(s, sector, t, err);
        t->scheme = PARTITION_SCHEME_GPT;
        int r = gpt_try_primary(s, &found, &primary_why);
        if (r < 0) {
                r = gpt_try_backup(s, &found, &backup_why);
                if (r < 0)
                        return err_set(
                                err, EINVAL,
                                "neither header is sound: the first (%.150s) nor the one at the "
                                "end (%.150s)",
                                primary_why.text, backup_why.text);
                snprintf(
                        t->damage, sizeof(t->damage),
                        "the first header of the GPT is damaged (%.150s); the one at the end is used",
                        primary_why.text);
        }
        return gpt_fill(s, &found, t, err);
}
