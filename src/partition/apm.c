/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Apple's partition map (Inside Macintosh: Devices, chapter 3): a first block that says how large blocks are, and then one block
 * for each partition, the map itself included.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "partition/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
        APM_BLOCK_MAX = 4096,
        APM_BOOTABLE = 1 << 3, /* of the status */
        APM_TEXT = 32,
};

typedef struct ApmFirst {
        char magic[2];
        be16 block_size;
        be32 block_count;
} ApmFirst;
_Static_assert(sizeof(ApmFirst) == 8, "as on disk");

typedef struct ApmEntry {
        char magic[2];
        be16 reserved;
        be32 map_count, first, count;
        char name[APM_TEXT], type[APM_TEXT];
        be32 data_first, data_count, status;
} ApmEntry;
_Static_assert(sizeof(ApmEntry) == 92, "as on disk");

static int apm_read_entry(
        const PartitionSource *s, uint32_t block, uint32_t number, ApmEntry *ret, Err *err)
{
        return parse_read(s, ret, sizeof(*ret), (uint64_t)block * number, err);
}

static bool apm_has_magic(const ApmEntry *e)
{
        return memcmp(e->magic, "PM", 2) == 0;
}

/* Images for CDs say 2048 and may have a map for disks, of 512 bytes. */
static uint32_t apm_find_block_size(const PartitionSource *s, const ApmFirst *first)
{
        const uint32_t sizes[] = { from_be16(first->block_size), PARSE_SECTOR };
        ApmEntry e;

        for (size_t i = 0; i < 2; i++)
                if (is_power_of_two(sizes[i]) && sizes[i] >= PARSE_SECTOR &&
                    sizes[i] <= APM_BLOCK_MAX && apm_read_entry(s, sizes[i], 1, &e, NULL) >= 0 &&
                    apm_has_magic(&e))
                        return sizes[i];
        return 0;
}

static void apm_copy_text(char ret[APM_TEXT + 1], const char text[APM_TEXT])
{
        size_t len = strnlen(text, APM_TEXT);

        memcpy(ret, text, len);
        ret[len] = '\0';
}

static bool apm_is_space(const Partition *p)
{
        return strcmp(p->apm_type, "Apple_Free") == 0 || strcmp(p->apm_type, "Apple_Void") == 0 ||
               strcmp(p->apm_type, "Apple_Extra") == 0;
}

static int apm_add(
        const PartitionSource *s, PartitionTable *t, uint32_t number, uint32_t count, Err *err)
{
        Partition p = { .number = number };
        ApmEntry e;

        int r = apm_read_entry(s, t->sector_size, number, &e, err);
        if (r < 0)
                return r;
        if (!apm_has_magic(&e))
                return err_set(err, EINVAL, "entry %u of %u is none", number, count);
        if (from_be32(e.map_count) != count)
                return err_set(err, EINVAL, "entry %u counts %u entries where the first counts %u",
                               number, from_be32(e.map_count), count);
        apm_copy_text(p.name, e.name);
        apm_copy_text(p.apm_type, e.type);
        p.bootable = from_be32(e.status) & APM_BOOTABLE;
        if (apm_is_space(&p) || from_be32(e.count) == 0)
                return 0;
        return parse_add(s, t, &p, from_be32(e.first), from_be32(e.count), err);
}

int apm_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err)
{
        ApmFirst first;
        ApmEntry e;

        memcpy(&first, sector, sizeof(first));
        uint32_t block_size =
                memcmp(first.magic, "ER", 2) == 0 ? apm_find_block_size(s, &first) : 0;
        if (block_size == 0)
                return 0;
        t->scheme = PARTITION_SCHEME_APM;
        t->sector_size = block_size;
        int r = apm_read_entry(s, block_size, 1, &e, err);
        if (r < 0)
                return r;
        uint32_t count = from_be32(e.map_count);
        if (count == 0 || count > LIMIT_PARTITIONS)
                return err_set(err, EFBIG, "it has %u entries; 1 to %d are possible", count,
                               LIMIT_PARTITIONS);
        for (uint32_t i = 1; i <= count; i++) {
                r = apm_add(s, t, i, count, err);
                if (r < 0)
                        return r;
        }
        r = parse_check_overlaps(t, err);
        return r < 0 ? r : 1;
}
