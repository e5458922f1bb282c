/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk's partition table: parsed, each partition found by its number, and by what an image chooses it could be asked for.
 *
 * An input is: 'm' to have the checksums of a GPT mended first, or another byte; the number of sectors, two bytes; then pieces, each
 * its sector and its length in bytes, two bytes each, and its bytes.
 */
#include "codec/sum.h"
#include "fuzz.h"
#include "partition/partition.h"

#include <sys/mman.h>

enum {
        SECTOR = 512,
        ENTRIES_MAX = 1 << 20,
};

typedef struct Disk {
        uint8_t *bytes;
        uint64_t size;
} Disk;

static int disk_read(void *arg, void *buf, size_t len, uint64_t off)
{
        const Disk *d = arg;

        fuzz_require(off <= d->size && len <= d->size - off, "nothing past the end is read");
        memcpy(buf, d->bytes + off, len);
        return 0;
}

static uint64_t take_le(const uint8_t *at, size_t size)
{
        uint64_t x = 0;

        while (size > 0)
                x = x << 8 | at[--size];
        return x;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
        for (size_t i = 0; i < 4; i++)
                at[i] = (uint8_t)(sum >> 8 * i);
}

static void mend(Disk *d, uint64_t sector_size, uint64_t number)
{
        uint64_t pos = number * sector_size;
        if (pos > d->size || d->size - pos < sector_size)
                return;
        uint8_t *at = d->bytes + pos;
        uint64_t len = take_le(at + 12, 4), first = take_le(at + 72, 8);
        uint64_t size = take_le(at + 80, 4) * take_le(at + 84, 4);

        if (memcmp(at, "EFI PART", 8) != 0)
                return;
        if (first < d->size / sector_size && size <= ENTRIES_MAX &&
            size <= d->size - first * sector_size)
                put_sum(at + 88, crc32_over(0, d->bytes + first * sector_size, size));
        put_sum(at + 16, 0);
        if (len <= sector_size)
                put_sum(at + 16, crc32_over(0, at, len));
}

static void make_disk(Disk *d, FuzzInput *in)
{
        bool mends = fuzz_take_number(in, 1) == 'm';

        d->size = fuzz_take_number(in, 2) * SECTOR;
        /* Only what is touched costs time. */
        void *bytes =
                mmap(NULL, d->size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED)
                exit(1);
        d->bytes = bytes;
        while (in->len > 0) {
                uint64_t pos = fuzz_take_number(in, 2) * SECTOR;
                size_t len = (size_t)fuzz_take_number(in, 2);
                FuzzInput piece = fuzz_take_bytes(in, len);
                if (pos <= d->size && piece.len <= d->size - pos && piece.len > 0)
                        memcpy(d->bytes + pos, piece.bytes, piece.len);
        }
        for (uint64_t size = SECTOR; mends && size <= 4096; size *= 8) {
                mend(d, size, 1);
                if (d->size >= size)
                        mend(d, size, d->size / size - 1);
        }
}

static void look_at(const Disk *d, const PartitionTable *t, const Partition *p)
{
        char number[16], code[PARTITION_CODE_MAX];
        const Partition *found = NULL;
        Err err;

        fuzz_require(p->len > 0 && p->start <= d->size && p->len <= d->size - p->start,
                     "a partition lies on the disk");
        fuzz_require(memchr(p->name, 0, sizeof(p->name)) && memchr(p->uuid, 0, sizeof(p->uuid)) &&
                             memchr(p->apm_type, 0, sizeof(p->apm_type)),
                     "texts have an end");
        snprintf(number, sizeof(number), "%u", p->number);
        int r = partition_find(t, number, &found, &err);
        fuzz_require(p->kind == PARTITION_EXTENDED ? r < 0 : r >= 0 && found == p,
                     "a number means one partition");
        found = NULL;
        if (p->name[0] && partition_find(t, p->name, &found, &err) >= 0)
                fuzz_require(found->kind != PARTITION_EXTENDED, "a frame is not shown");
        partition_type_code(t, p, code);
        (void)partition_type_name(t, p);
        for (const Partition *o = t->partitions; o < p; o++)
                fuzz_require(o->start >= p->start + p->len || p->start >= o->start + o->len ||
                                     o->kind == PARTITION_EXTENDED ||
                                     (p->parent > 0 && p->parent == o->number) ||
                                     (t->scheme == PARTITION_SCHEME_MBR &&
                                      (o->start == 0 || p->start == 0)),
                             "no two overlap");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        FuzzInput in = { bytes, len };
        PartitionTable *table = NULL;
        Disk d = { 0 };
        Err err = { "" };

        make_disk(&d, &in);
        PartitionSource source = { .read = disk_read, .arg = &d, .size = d.size };
        /* As an image may state it. */
        source.sector_size = d.size / SECTOR % 3 == 1 ? 4096 : 0;
        if (partition_table_read(&source, &table, &err) < 0) {
                fuzz_require(err.text[0], "a refusal has words");
        } else {
                fuzz_require(table->count <= LIMIT_PARTITIONS, "there is room for them");
                for (size_t i = 0; i < table->count; i++)
                        look_at(&d, table, &table->partitions[i]);
        }
        free(table);
        munmap(d.bytes, d.size + 1);
        return 0;
}
