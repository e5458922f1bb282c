/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "base/cleanup.h"
#include "partition/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int parse_read(const PartitionSource *s, void *buf, size_t len, uint64_t off, Err *err)
{
        if (!in_range(off, len, s->size))
                return err_set(err, EINVAL, "%zu bytes at %llu lie past the end of the disk (%llu)",
                               len, (unsigned long long)off, (unsigned long long)s->size);
        int r = s->read(s->arg, buf, len, off);
        return r < 0 ? err_set(err, -r, "cannot read %zu bytes at %llu: %m", len,
                               (unsigned long long)off)
                     : 0;
}

int parse_add(const PartitionSource *s,
              PartitionTable *t,
              Partition *p,
              uint64_t first,
              uint64_t count,
              Err *err)
{
        uint64_t size = s->size / t->sector_size;

        if (t->count == LIMIT_PARTITIONS)
                return err_set(err, EFBIG, "there are more than %d partitions", LIMIT_PARTITIONS);
        if (!in_range(first, count, size))
                return err_set(err, EINVAL,
                               "partition %u (%llu sectors from %llu on) does not lie within the "
                               "disk of %llu sectors of %u bytes",
                               p->number, (unsigned long long)count, (unsigned long long)first,
                               (unsigned long long)size, t->sector_size);
        p->start = first * t->sector_size;
        p->len = count * t->sector_size;
        t->partitions[t->count++] = *p;
        return 0;
}

uint32_t parse_next_inner(const PartitionTable *t)
{
        uint32_t number = PARSE_INNER_FIRST;

        for (size_t i = 0; i < t->count; i++)
                number += t->partitions[i].kind == PARTITION_LOGICAL ||
                          t->partitions[i].kind == PARTITION_BSD;
        return number;
}

/* A frame holds logical ones; and an entry from sector 0 on, table included, is the disk itself, as images for both disks and CDs
 * have it. */
static bool parse_may_overlap(const PartitionTable *t, const Partition *a, const Partition *b)
{
        if (a->kind == PARTITION_EXTENDED && b->kind == PARTITION_LOGICAL)
                return true;
        if (b->parent > 0 && b->parent == a->number)
                return true;
        return t->scheme == PARTITION_SCHEME_MBR && a->start == 0;
}

int parse_check_overlaps(const PartitionTable *t, Err *err)
{
        for (size_t i = 0; i < t->count; i++)
                for (size_t k = 0; k < i; k++) {
                        const Partition *a = &t->partitions[k], *b = &t->partitions[i];
                        if (partition_overlaps(a, b) && !parse_may_overlap(t, a, b) &&
                            !parse_may_overlap(t, b, a))
                                return err_set(err, EINVAL, "partition %u overlaps partition %u",
                                               b->number, a->number);
                }
        return 0;
}

/* As Linux looks: a protected GPT before an MBR, an MBR before Apple's map. A disklabel alone is where an MBR has nothing to say. */
static int table_parse(const PartitionSource *s, PartitionTable *t, Err *err)
{
        static int (*const parsers[])(const PartitionSource *, const uint8_t *, PartitionTable *,
                                      Err *) = { gpt_parse, bsd_parse, mbr_parse, apm_parse };
        uint8_t sector[PARSE_SECTOR];

        if (s->size < sizeof(sector))
                return 0;
        int r = parse_read(s, sector, sizeof(sector), 0, err);
        for (size_t i = 0; r == 0 && i < sizeof(parsers) / sizeof(parsers[0]); i++)
                r = parsers[i](s, sector, t, err);
        if (r < 0 && t->scheme != PARTITION_SCHEME_NONE)
                return err_prefix(err, r, "%s partition table", partition_scheme_name(t->scheme));
        return r < 0 ? err_prefix(err, r, "partition table") : 0;
}

int partition_table_read(const PartitionSource *source, PartitionTable **ret, Err *err)
{
        _cleanup_free_ PartitionTable *t = calloc(1, sizeof(*t));
        if (!t)
                return err_set(err, ENOMEM, "%m");

        int r = table_parse(source, t, err);
        if (r < 0)
                return r;
        *ret = TAKE(t);
        return 0;
}
