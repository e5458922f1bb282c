/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

#include <zlib.h>

enum {
        DISK_SIZE = 4 << 20,
        ENTRIES = 128,
};

/* 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as it lies on disk. */
static const uint8_t linux_type[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                        0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

/* One copy of a table; `own` and `entries` are sectors. */
typedef struct Copy {
        uint32_t sector;
        uint64_t own, other, entries;
} Copy;

static void sign(Disk *d, const Copy *c)
{
        uint64_t at = c->own * c->sector;

        disk_put_le(d, at + 88, crc32(0, d->bytes + c->entries * c->sector, ENTRIES * 128), 4);
        disk_put_le(d, at + 16, 0, 4);
        disk_put_le(d, at + 16, crc32(0, d->bytes + at, 92), 4);
}

static void put_header(Disk *d, const Copy *c)
{
        uint64_t at = c->own * c->sector;

        disk_put(d, at, "EFI PART\0\0\1\0\x5c\0\0\0", 16);
        disk_put_le(d, at + 24, c->own, 8);
        disk_put_le(d, at + 32, c->other, 8);
        disk_put_le(d, at + 40, 34, 8);
        disk_put_le(d, at + 48, DISK_SIZE / c->sector - 34, 8);
        disk_put(d, at + 56, "\x78\x56\x34\x12\xbc\x9a\xf0\xde\x12\x34\x56\x78\x9a\xbc\xde\xf0",
                 16);
        disk_put_le(d, at + 72, c->entries, 8);
        disk_put_le(d, at + 80, ENTRIES, 4);
        disk_put_le(d, at + 84, 128, 4);
}

static void put_entry(
        Disk *d, const Copy *c, size_t i, uint64_t first, uint64_t last, const char *name)
{
        uint64_t at = c->entries * c->sector + i * 128;

        disk_put(d, at, linux_type, 16);
        disk_put(d, at + 16, "\1\0\0\0\2\0\3\0\4\5\6\7\x08\x09\x0a", 15);
        d->bytes[at + 31] = (uint8_t)i;
        disk_put_le(d, at + 32, first, 8);
        disk_put_le(d, at + 40, last, 8);
        disk_put_le(d, at + 48, i == 2 ? 4 : 0, 8);
        for (size_t k = 0; k < 36; k++)
                disk_put_le(d, at + 56 + 2 * k, k < strlen(name) ? (uint8_t)name[k] : 0, 2);
}

static const Copy primary_512 = { 512, 1, DISK_SIZE / 512 - 1, 2 };
static const Copy backup_512 = { 512, DISK_SIZE / 512 - 1, 1, DISK_SIZE / 512 - 33 };
static const Copy primary_4096 = { 4096, 1, DISK_SIZE / 4096 - 1, 2 };
static const Copy backup_4096 = { 4096, DISK_SIZE / 4096 - 1, 1, DISK_SIZE / 4096 - 5 };

static void put_copy(Disk *d, const Copy *c)
{
        put_header(d, c);
        put_entry(d, c, 0, 100, 199, "EFI");
        put_entry(d, c, 2, 200, 200, "root \xe9");
        sign(d, c);
}

static void put_both(Disk *d, uint32_t sector)
{
        disk_make(d, DISK_SIZE);
        disk_put_mbr(d, 0, 0, 0xee, 1, UINT32_MAX);
        put_copy(d, sector == 512 ? &primary_512 : &primary_4096);
        put_copy(d, sector == 512 ? &backup_512 : &backup_4096);
}

static void expect_table(Disk *d, uint32_t sector, const char *damage)
{
        disk_expect(d, PARTITION_SCHEME_GPT, 2);
        assert_int_equal(d->table->sector_size, sector);
        disk_expect_at(d, 1, 100 * sector, 100 * sector);
        disk_expect_at(d, 3, 200 * sector, sector);
        if (damage ? !strstr(d->table->damage, damage) : d->table->damage[0] != '\0')
                fail_msg("damage: '%s'", d->table->damage);
}

static void test_what_is_read(void **state)
{
        Disk d;

        put_both(&d, 512);
        expect_table(&d, 512, NULL);
        const Partition *p = d.table->partitions;
        assert_string_equal(d.table->id, "12345678-9abc-def0-1234-56789abcdef0");
        assert_string_equal(p[0].name, "EFI");
        assert_string_equal(p[1].name, "root \xc3\xa9");
        assert_string_equal(p[1].uuid, "00000001-0002-0003-0405-060708090a02");
        assert_false(p[0].bootable);
        assert_true(p[1].bootable);
        assert_string_equal(partition_type_name(d.table, p), "Linux filesystem");
        disk_done(&d);
}

static void test_either_size_of_sectors_and_either_copy(void **state)
{
        for (uint32_t sector = 512; sector <= 4096; sector *= 8) {
                Disk d;

                put_both(&d, sector);
                expect_table(&d, sector, NULL);
                /* The primary's entries, its header, and all of it. */
                d.bytes[2 * sector + 5] ^= 1;
                expect_table(&d, sector, "the checksum of its entries");
                d.bytes[sector + 60] ^= 1;
                expect_table(&d, sector, "its checksum is");
                memset(d.bytes + sector, 0, sector);
                expect_table(&d, sector, "there is none");
                disk_done(&d);
        }
}

static void test_a_disk_that_has_grown(void **state)
{
        Disk d;

        /* The backup is not in the last sector; the header says where it is, which is true while it is sound. */
        put_both(&d, 512);
        d.bytes = realloc(d.bytes, 2 * DISK_SIZE);
        memset(d.bytes + DISK_SIZE, 0, DISK_SIZE);
        d.size = 2 * DISK_SIZE;
        expect_table(&d, 512, NULL);
        d.bytes[2 * 512 + 5] ^= 1;
        expect_table(&d, 512, "the checksum of its entries");
        disk_done(&d);
}

static void test_without_a_protective_mbr(void **state)
{
        Disk d;

        put_both(&d, 512);
        memset(d.bytes, 0, 512);
        expect_table(&d, 512, "protective MBR is missing");
        /* The start is wiped; but where a file system may have been made there, its end says nothing. */
        memset(d.bytes, 0, 100 * 512);
        expect_table(&d, 512, "the start of the disk is zeroes");
        d.bytes[65 * 1024] = 1;
        disk_expect(&d, PARTITION_SCHEME_NONE, 0);
        disk_done(&d);

        /* Somebody has made an MBR since. */
        put_both(&d, 512);
        disk_put_mbr(&d, 0, 0, 0x83, 2048, 10);
        disk_expect(&d, PARTITION_SCHEME_MBR, 1);
        disk_done(&d);
}

static void test_what_cannot_be_is_refused(void **state)
{
        static const struct {
                const char *name;
                size_t at, len; /* in both headers, or with `in_entry` in the first entry */
                uint64_t number;
                bool in_entry;
                const char *words;
        } cases[] = {
                { "entries without end", 80, 4, UINT32_MAX, false,
                  "4294967295 entries are more than 1024" },
                { "more entries than we read", 80, 4, 1025, false,
                  "1025 entries are more than 1024" },
                { "large entries", 84, 4, 8192, false, "entries of 8192 bytes" },
                { "small entries", 84, 4, 64, false, "entries of 64 bytes" },
                { "crooked entries", 84, 4, 129, false, "entries of 129 bytes" },
                { "entries past the end", 72, 8, DISK_SIZE / 512 - 2, false, "lie past the end" },
                { "entries far past the end", 72, 8, UINT64_MAX, false, "lie past the end" },
                { "short header", 12, 4, 91, false, "header of 91 bytes" },
                { "long header", 12, 4, 513, false, "header of 513 bytes" },
                { "elsewhere", 24, 8, 7, false, "it says that it lies in sector 7" },
                { "a partition past the end", 40, 8, DISK_SIZE / 512, true,
                  "partition 1 (8093 sectors" },
                { "the largest", 40, 8, UINT64_MAX, true, "partition 1 ends with sector" },
                { "backward", 40, 8, 99, true, "before it begins (100)" },
                { "overlap", 40, 8, 200, true, "partition 3 overlaps partition 1" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Copy *copies[] = { &primary_512, &backup_512 };
                Disk d;

                put_both(&d, 512);
                for (int k = 0; k < 2; k++) {
                        uint64_t base =
                                (cases[i].in_entry ? copies[k]->entries : copies[k]->own) * 512;
                        disk_put_le(&d, base + cases[i].at, cases[i].number, cases[i].len);
                        /* Sound by its checksums. */
                        sign(&d, copies[k]);
                }
                disk_expect_refusal(&d, cases[i].name, cases[i].words);
                disk_done(&d);
        }
}

static void test_names_that_are_no_text(void **state)
{
        Disk d;

        put_both(&d, 512);
        /* A lone surrogate, a pair, a control, and what follows the end. */
        uint64_t at = 2 * 512 + 56;
        const uint16_t units[] = { 0xdc00, 'a', 0xd83d, 0xde00, 27, 0xd800, 0, 'x' };
        for (size_t i = 0; i < 8; i++)
                disk_put_le(&d, at + 2 * i, units[i], 2);
        sign(&d, &primary_512);
        disk_expect(&d, PARTITION_SCHEME_GPT, 2);
        assert_string_equal(d.table->partitions[0].name, "?a\xf0\x9f\x98\x80\33?");
        for (size_t i = 0; i < 36; i++)
                disk_put_le(&d, at + 2 * i, 0x20ac, 2);
        sign(&d, &primary_512);
        disk_expect(&d, PARTITION_SCHEME_GPT, 2);
        assert_int_equal(strlen(d.table->partitions[0].name), 36 * 3);
        disk_done(&d);
}

static void test_protected_and_nothing_there(void **state)
{
        static const uint64_t sizes[] = { 512, 1024, 1536, 8192, 1 << 20 };

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                Disk d;
                disk_make(&d, sizes[i]);
                disk_put_mbr(&d, 0, 0, 0xee, 1, UINT32_MAX);
                disk_expect_refusal(&d, "protected", "neither header is sound");
                disk_done(&d);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_read),
                cmocka_unit_test(test_either_size_of_sectors_and_either_copy),
                cmocka_unit_test(test_a_disk_that_has_grown),
                cmocka_unit_test(test_without_a_protective_mbr),
                cmocka_unit_test(test_what_cannot_be_is_refused),
                cmocka_unit_test(test_names_that_are_no_text),
                cmocka_unit_test(test_protected_and_nothing_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
