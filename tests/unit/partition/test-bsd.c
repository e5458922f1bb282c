/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

enum {
        DISK_SECTORS = 20000,
        FREEBSD = 0xa5,
        OPENBSD = 0xa6,
        NETBSD = 0xa9,
};

typedef struct Entry {
        char letter;
        uint8_t type;
        uint32_t first, count;
} Entry;

static void sign(Disk *d, uint64_t at)
{
        uint32_t count = d->bytes[at + 138] | (uint32_t)d->bytes[at + 139] << 8;
        uint8_t sum[2] = { 0 };

        disk_put_le(d, at + 136, 0, 2);
        for (size_t i = 0; i < 148 + 16 * (count < 23 ? count : 22); i++)
                sum[i % 2] ^= d->bytes[at + i];
        disk_put(d, at + 136, sum, 2);
}

/* In the sector; up to the first entry without a letter. */
static void put_label(Disk *d, uint32_t sector_size, uint32_t sector, const Entry *e)
{
        uint64_t at = (uint64_t)sector * sector_size;

        disk_put_le(d, at, 0x82564557, 4);
        disk_put_le(d, at + 40, sector_size, 4);
        disk_put_le(d, at + 132, 0x82564557, 4);
        disk_put_le(d, at + 138, 16, 2);
        for (; e->letter; e++) {
                uint64_t entry = at + 148 + 16 * (uint64_t)(e->letter - 'a');
                disk_put_le(d, entry, e->count, 4);
                disk_put_le(d, entry + 4, e->first, 4);
                d->bytes[entry + 12] = e->type;
        }
        sign(d, at);
}

static void put_slice(Disk *d, uint8_t type, const Entry *e)
{
        disk_make(d, DISK_SECTORS * 512);
        disk_put_mbr(d, 0, 0, 0x83, 10, 50);
        disk_put_mbr(d, 0, 1, type, 100, 5000);
        put_label(d, 512, 101, e);
}

static void expect(Disk *d, size_t count, const char *damage)
{
        disk_expect(d, PARTITION_SCHEME_MBR, count);
        if (!strstr(d->table->damage, damage) || !d->table->damage[0] != !damage[0])
                fail_msg("damage: '%s', not '%s'", d->table->damage, damage);
}

static void test_of_each_system(void **state)
{
        static const struct {
                const char *name;
                uint8_t type;
                Entry entries[6];
                uint32_t a, b; /* where these begin */
        } cases[] = {
                { "FreeBSD, from its partition on",
                  FREEBSD,
                  { { 'a', 7, 16, 100 }, { 'b', 1, 116, 50 }, { 'c', 0, 0, 5000 } },
                  116,
                  216 },
                { "FreeBSD, from the disk on",
                  FREEBSD,
                  { { 'a', 7, 116, 100 }, { 'b', 1, 216, 50 }, { 'c', 0, 100, 5000 } },
                  116,
                  216 },
                { "OpenBSD, with other partitions of the disk",
                  OPENBSD,
                  { { 'a', 7, 116, 100 },
                    { 'b', 1, 216, 50 },
                    { 'c', 0, 0, DISK_SECTORS },
                    { 'i', 17, 10, 50 } },
                  116,
                  216 },
                { "NetBSD, with the partition and the disk",
                  NETBSD,
                  { { 'a', 7, 116, 100 },
                    { 'b', 1, 216, 50 },
                    { 'c', 7, 100, 5000 },
                    { 'd', 7, 0, DISK_SECTORS } },
                  116,
                  216 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char code[PARTITION_CODE_MAX];
                const Partition *p;
                Disk d;

                put_slice(&d, cases[i].type, cases[i].entries);
                expect(&d, 4, "");
                disk_expect_at(&d, 2, 100 * 512, 5000 * 512);
                disk_expect_at(&d, 5, cases[i].a * 512, 100 * 512);
                disk_expect_at(&d, 6, cases[i].b * 512, 50 * 512);
                p = &d.table->partitions[disk_find(&d, 5)];
                assert_int_equal(p->kind, PARTITION_BSD);
                assert_int_equal(p->parent, 2);
                assert_string_equal(p->name, "s2a");
                assert_string_equal(p->uuid, "");
                assert_string_equal(partition_type_name(d.table, p), "BSD FFS (4.2BSD)");
                partition_type_code(d.table, p, code);
                assert_string_equal(code, "bsd:0x07");
                assert_int_equal(partition_find(d.table, "s2b", &p, &d.err), 0);
                assert_int_equal(p->number, 6);
                disk_done(&d);
        }
}

/* As Linux numbers them: behind all logical ones, whose frame may come later, label by label. */
static void test_numbers(void **state)
{
        static const Entry first[] = { { 'a', 7, 200, 100 }, { 'h', 27, 400, 10 }, { 0 } };
        static const Entry second[] = { { 'e', 7, 8100, 100 }, { 0 } };
        Disk d;

        put_slice(&d, NETBSD, first);
        disk_put_mbr(&d, 0, 2, OPENBSD, 8000, 1000);
        put_label(&d, 512, 8001, second);
        disk_put_mbr(&d, 0, 3, 5, 10000, 1000);
        disk_put_mbr(&d, 10000 * 512, 0, 0x83, 1, 10);
        expect(&d, 8, "");
        disk_expect_at(&d, 5, 10001 * 512, 10 * 512);
        disk_expect_at(&d, 6, 200 * 512, 100 * 512);
        disk_expect_at(&d, 7, 400 * 512, 10 * 512);
        disk_expect_at(&d, 8, 8100 * 512, 100 * 512);
        assert_string_equal(d.table->partitions[disk_find(&d, 7)].name, "s2h");
        assert_string_equal(d.table->partitions[disk_find(&d, 8)].name, "s3e");
        disk_done(&d);
}

static void test_what_is_no_label(void **state)
{
        static const Entry entries[] = { { 'a', 7, 200, 100 }, { 'b', 7, 5000, 101 }, { 0 } };
        Disk d;

        /* What leads out of its partition is passed over. */
        put_slice(&d, NETBSD, entries);
        expect(&d, 3, "");
        /* Another system's partition. */
        disk_put_mbr(&d, 0, 1, 0x83, 100, 5000);
        expect(&d, 2, "");
        disk_put_mbr(&d, 0, 1, NETBSD, 100, 5000);
        d.bytes[101 * 512] ^= 1;
        expect(&d, 2, "");
        /* A partition in which there is no place for one. */
        disk_put_mbr(&d, 0, 1, NETBSD, 100, 1);
        d.bytes[101 * 512] ^= 1;
        expect(&d, 2, "");
        disk_put_mbr(&d, 0, 1, NETBSD, DISK_SECTORS - 1, 1);
        expect(&d, 2, "");
        disk_done(&d);
}

static void test_what_cannot_be_is_not_shown(void **state)
{
        static const struct {
                size_t at, len;
                uint64_t number;
                bool unsigned_;
                const char *words;
        } cases[] = {
                { 132, 4, 1, false,
                  "the disklabel in partition 2 cannot be used (its second magic is 00000001); what it "
                  "holds is not shown" },
                { 138, 2, 23, false, "(it has 23 entries, and 22 are possible)" },
                { 138, 2, 65535, false, "(it has 65535 entries" },
                { 148, 4, 99, true, "(its checksum is wrong)" },
                { 148, 4, 201, false, "(partition 6 overlaps partition 5)" },
        };
        static const Entry entries[] = { { 'a', 7, 200, 100 }, { 'b', 7, 400, 10 }, { 0 } };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Disk d;

                put_slice(&d, NETBSD, entries);
                disk_put_le(&d, 101 * 512 + cases[i].at, cases[i].number, cases[i].len);
                if (!cases[i].unsigned_)
                        sign(&d, 101 * 512);
                expect(&d, 2, cases[i].words);
                disk_done(&d);
        }
}

/* With as many as there can be, four times over. */
static void test_too_many(void **state)
{
        Entry entries[17] = { 0 };
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        for (uint32_t i = 0; i < 4; i++) {
                disk_put_mbr(&d, 0, i, NETBSD, 100 + 1000 * i, 1000);
                for (uint32_t k = 0; k < 16; k++)
                        entries[k] = (Entry){ (char)('a' + k), 7, 110 + 1000 * i + 10 * k, 10 };
                put_label(&d, 512, 101 + 1000 * i, entries);
        }
        expect(&d, 4 + 4 * 16, "");
        disk_expect_at(&d, 68, 3260 * 512, 10 * 512);
        /* Beside as many logical ones as there is room for. */
        for (uint32_t i = 0; i < LIMIT_EBR_CHAIN; i++) {
                disk_put_mbr(&d, (6000 + 4 * i) * 512, 0, 0x83, 1, 1);
                disk_put_mbr(&d, (6000 + 4 * i) * 512, 1, 5, 4 * (i + 1), i + 1 < 250 ? 4 : 0);
        }
        disk_put_mbr(&d, 0, 3, 5, 6000, 4000);
        disk_expect_refusal(&d, "too many", "there are more than 256 partitions");
        disk_done(&d);
}

static void test_a_disk_without_an_mbr(void **state)
{
        static const Entry entries[] = { { 'a', 7, 16, 100 },
                                         { 'b', 1, 116, 10 },
                                         { 'c', 0, 0, 300 },
                                         { 'e', 27, 200, 100 },
                                         { 0 } };
        Disk d;

        for (uint32_t size = 512; size <= 4096; size *= 8) {
                disk_make(&d, 300 * size);
                put_label(&d, size, 1, entries);
                disk_expect(&d, PARTITION_SCHEME_BSD, 3);
                assert_int_equal(d.table->sector_size, size);
                disk_expect_at(&d, 1, 16 * size, 100 * size);
                disk_expect_at(&d, 3, 200 * size, 100 * size);
                assert_string_equal(d.table->partitions[2].name, "e");
                assert_string_equal(partition_scheme_name(d.table->scheme), "bsd");
                /* With boot code before it, whose end is that of an MBR. */
                disk_put(&d, 510, "\x55\xaa", 2);
                disk_expect(&d, PARTITION_SCHEME_BSD, 3);
                /* A file system that was made over it since. */
                disk_put(&d, 3, "NTFS    ", 8);
                disk_expect(&d, PARTITION_SCHEME_NONE, 0);
                memset(d.bytes + 3, 0, 8);
                /* What is damaged is none. */
                d.bytes[size + 149] ^= 1;
                disk_expect(&d, PARTITION_SCHEME_MBR, 0);
                disk_done(&d);
        }
        disk_make(&d, 200 * 512);
        put_label(&d, 512, 1, (const Entry[]){ { 'a', 7, 16, 100 }, { 'b', 7, 110, 5 }, { 0 } });
        disk_expect_refusal(&d, "overlap", "bsd partition table: partition 2 overlaps partition 1");
        disk_done(&d);
        disk_make(&d, 512);
        disk_expect(&d, PARTITION_SCHEME_NONE, 0);
        disk_done(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_of_each_system),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_what_is_no_label),
                cmocka_unit_test(test_what_cannot_be_is_not_shown),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_a_disk_without_an_mbr),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
