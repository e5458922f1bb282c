/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk in memory, and what the parser makes of it. Each belongs to one test. Tables are written here byte by byte. */
#pragma once

#include "base/cleanup.h"
#include "partition/partition.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Disk {
        uint64_t size;
        uint8_t *bytes;
        uint32_t sector_size; /* that somebody states; 0: nobody does */
        int code;             /* reading fails with it; 0: it does not */
        size_t reads;
        PartitionTable *table;
        Err err;
} Disk;

static inline void disk_make(Disk *d, uint64_t size)
{
        *d = (Disk){ .size = size, .bytes = calloc(1, size) };
        assert_non_null(d->bytes);
}

static inline void disk_done(Disk *d)
{
        free(d->bytes);
        free(d->table);
}

static inline void disk_put(Disk *d, uint64_t pos, const void *bytes, size_t len)
{
        assert_true(pos + len <= d->size);
        memcpy(d->bytes + pos, bytes, len);
}

static inline void disk_put_le(Disk *d, uint64_t pos, uint64_t number, size_t len)
{
        for (size_t i = 0; i < len; i++)
                d->bytes[pos + i] = (uint8_t)(number >> 8 * i);
}

static inline void disk_put_be(Disk *d, uint64_t pos, uint64_t number, size_t len)
{
        for (size_t i = 0; i < len; i++)
                d->bytes[pos + i] = (uint8_t)(number >> 8 * (len - 1 - i));
}

static inline int disk_read(void *arg, void *buf, size_t len, uint64_t off)
{
        Disk *d = arg;

        d->reads++;
        if (d->code)
                return -d->code;
        /* A parser that asks for more than there is has not looked. */
        assert_true(off <= d->size && len <= d->size - off);
        memcpy(buf, d->bytes + off, len);
        return 0;
}

static inline int disk_parse(Disk *d)
{
        PartitionSource source = {
                .read = disk_read, .arg = d, .size = d->size, .sector_size = d->sector_size
        };

        free(d->table);
        d->table = NULL;
        d->err.text[0] = '\0';
        return partition_table_read(&source, &d->table, &d->err);
}

static inline void disk_expect_refusal(Disk *d, const char *name, const char *words)
{
        int r = disk_parse(d);
        if (r >= 0 || !strstr(d->err.text, words))
                fail_msg("%s: %d '%s', not '%s'", name, r, d->err.text, words);
}

static inline void disk_expect(Disk *d, PartitionScheme scheme, size_t count)
{
        int r = disk_parse(d);
        if (r < 0 || d->table->scheme != scheme || d->table->count != count)
                fail_msg("%d '%s', scheme %d, %zu partitions", r, d->err.text,
                         r < 0 ? -1 : (int)d->table->scheme, r < 0 ? 0 : d->table->count);
}

/* Entry `i` of the MBR or EBR at `pos`; sectors. */
static inline void disk_put_mbr(
        Disk *d, uint64_t pos, size_t i, uint8_t type, uint32_t first, uint32_t count)
{
        uint64_t at = pos + 446 + 16 * i;

        disk_put_le(d, pos + 510, 0xaa55, 2);
        disk_put_le(d, at, 0, 4);
        d->bytes[at + 4] = type;
        disk_put_le(d, at + 8, first, 4);
        disk_put_le(d, at + 12, count, 4);
}

static inline uint64_t disk_find(const Disk *d, uint32_t number)
{
        for (size_t i = 0; i < d->table->count; i++)
                if (d->table->partitions[i].number == number)
                        return i;
        fail_msg("there is no partition %u", number);
        return 0;
}

static inline void disk_expect_at(const Disk *d, uint32_t number, uint64_t start, uint64_t len)
{
        const Partition *p = &d->table->partitions[disk_find(d, number)];

        if (p->start != start || p->len != len)
                fail_msg("partition %u: %llu bytes at %llu", number, (unsigned long long)p->len,
                         (unsigned long long)p->start);
}
