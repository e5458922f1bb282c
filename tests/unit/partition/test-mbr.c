/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

enum {
        DISK_SECTORS = 20000,
};

static void test_primary_partitions(void **state)
{
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        disk_put_le(&d, 440, 0x1234abcd, 4);
        disk_put_mbr(&d, 0, 0, 0x83, 2048, 1000);
        disk_put_mbr(&d, 0, 3, 0x07, 4096, DISK_SECTORS - 4096);
        d.bytes[446 + 3 * 16] = 0x80;
        disk_expect(&d, PARTITION_SCHEME_MBR, 2);
        disk_expect_at(&d, 1, 2048 * 512, 1000 * 512);
        disk_expect_at(&d, 4, 4096 * 512, (DISK_SECTORS - 4096) * 512);
        assert_string_equal(d.table->id, "1234abcd");
        assert_string_equal(d.table->partitions[0].uuid, "1234abcd-01");
        assert_string_equal(d.table->partitions[1].uuid, "1234abcd-04");
        assert_false(d.table->partitions[0].bootable);
        assert_true(d.table->partitions[1].bootable);
        assert_string_equal(partition_type_name(d.table, &d.table->partitions[0]), "Linux");
        disk_done(&d);
}

/* Two links; the second one has its logical partition in the second entry, as Linux takes it too. */
static void put_chain(Disk *d)
{
        disk_put_mbr(d, 0, 0, 0x83, 100, 100);
        disk_put_mbr(d, 0, 1, 0x05, 1000, 10000);
        disk_put_mbr(d, 1000 * 512, 0, 0x83, 10, 90);
        disk_put_mbr(d, 1000 * 512, 1, 0x05, 500, 1000);
        disk_put_mbr(d, 1500 * 512, 1, 0x82, 20, 80);
        disk_put_mbr(d, 1500 * 512, 0, 0x0f, 3000, 50);
        disk_put_mbr(d, 4000 * 512, 0, 0x83, 1, 2);
}

static void test_logical_partitions_count_from_two_places(void **state)
{
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        put_chain(&d);
        disk_expect(&d, PARTITION_SCHEME_MBR, 5);
        disk_expect_at(&d, 2, 1000 * 512, 10000 * 512);
        disk_expect_at(&d, 5, 1010 * 512, 90 * 512);
        disk_expect_at(&d, 6, 1520 * 512, 80 * 512);
        disk_expect_at(&d, 7, 4001 * 512, 2 * 512);
        assert_int_equal(d.table->partitions[disk_find(&d, 2)].kind, PARTITION_EXTENDED);
        assert_int_equal(d.table->partitions[disk_find(&d, 5)].kind, PARTITION_LOGICAL);
        assert_string_equal(d.table->partitions[0].uuid, "");
        disk_done(&d);
}

static void test_a_frame_may_be_empty(void **state)
{
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        disk_put_mbr(&d, 0, 0, 0x0f, 1000, 10000);
        disk_expect(&d, PARTITION_SCHEME_MBR, 1);
        disk_put_mbr(&d, 1000 * 512, 0, 0, 0, 0);
        disk_expect(&d, PARTITION_SCHEME_MBR, 1);
        disk_done(&d);
}

static void test_what_cannot_be_is_refused(void **state)
{
        static const struct {
                const char *name;
                uint64_t sector;
                size_t entry;
                uint8_t type;
                uint32_t first, count;
                const char *words;
        } cases[] = {
                { "past the end", 0, 2, 0x83, DISK_SECTORS - 1, 2,
                  "partition 3 (2 sectors from 19999 on) "
                  "does not lie within" },
                { "far past the end", 0, 2, 0x83, UINT32_MAX, UINT32_MAX, "partition 3" },
                { "overlap", 0, 2, 0x83, 199, 2, "partition 3 overlaps partition 1" },
                { "overlap with the frame", 0, 2, 0x83, 900, 200,
                  "partition 3 overlaps partition 2" },
                { "a logical one out of its frame", 1000, 0, 0x83, 10, 9991,
                  "does not lie within partition 2" },
                { "a logical one over its EBR", 1000, 0, 0x83, 0, 10, "begins with the sector" },
                { "logical ones that overlap", 1000, 0, 0x83, 519, 2, "overlaps" },
                { "a chain that comes back", 1500, 0, 0x05, 0, 50, "comes back to sector 1000" },
                { "a chain to itself", 1500, 0, 0x05, 500, 50, "comes back to sector 1500" },
                { "a chain that leads out", 1500, 0, 0x05, 10000, 50, "leads out of partition 2" },
                { "a chain into nowhere", 1500, 0, 0x05, 7777, 50,
                  "leads to sector 8777, which is none" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Disk d;
                disk_make(&d, DISK_SECTORS * 512);
                put_chain(&d);
                disk_put_mbr(&d, cases[i].sector * 512, cases[i].entry, cases[i].type,
                             cases[i].first, cases[i].count);
                disk_expect_refusal(&d, cases[i].name, cases[i].words);
                disk_done(&d);
        }
}

static void test_a_chain_has_an_end(void **state)
{
        Disk d;

        /* Links without partitions, each leading to the next. */
        disk_make(&d, DISK_SECTORS * 512);
        disk_put_mbr(&d, 0, 0, 0x05, 1000, 10000);
        for (uint32_t i = 0; i < 1000; i++)
                disk_put_mbr(&d, (1000 + i) * 512, 1, 0x05, i + 1, 1);
        disk_expect_refusal(&d, "empty links", "has more than 256 links");
        assert_true(d.reads < 300);
        disk_done(&d);

        disk_make(&d, DISK_SECTORS * 512);
        disk_put_mbr(&d, 0, 0, 0x05, 1000, 10000);
        for (uint32_t i = 0; i < 300; i++) {
                disk_put_mbr(&d, (1000 + 4 * i) * 512, 0, 0x83, 1, 1);
                disk_put_mbr(&d, (1000 + 4 * i) * 512, 1, 0x05, 4 * i + 4, 4);
        }
        disk_expect_refusal(&d, "too many", "more than 256");
        disk_done(&d);
}

static void test_what_is_no_table(void **state)
{
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        disk_expect(&d, PARTITION_SCHEME_NONE, 0);
        /* A boot sector of a file system, whose code lies where entries would. */
        disk_put_le(&d, 510, 0xaa55, 2);
        disk_put(&d, 82, "FAT32   ", 8);
        disk_expect(&d, PARTITION_SCHEME_NONE, 0);
        disk_put(&d, 82, "        ", 8);
        disk_expect(&d, PARTITION_SCHEME_MBR, 0);
        d.bytes[446] = 0x12;
        disk_expect(&d, PARTITION_SCHEME_NONE, 0);
        disk_done(&d);

        for (uint64_t size = 1; size < 1024; size += 511) {
                disk_make(&d, size);
                disk_expect(&d, PARTITION_SCHEME_NONE, 0);
                disk_done(&d);
        }
}

/* Images that are both disk and CD. */
static void test_an_entry_from_sector_0_on_holds_others(void **state)
{
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        disk_put_mbr(&d, 0, 0, 0, 0, DISK_SECTORS);
        disk_put_mbr(&d, 0, 1, 0xef, 200, 100);
        disk_expect(&d, PARTITION_SCHEME_MBR, 2);
        disk_expect_at(&d, 1, 0, DISK_SECTORS * 512);
        disk_done(&d);
}

static void test_an_error_is_passed_on(void **state)
{
        Disk d;

        disk_make(&d, DISK_SECTORS * 512);
        d.code = EIO;
        assert_int_equal(disk_parse(&d), -EIO);
        disk_done(&d);
}

/* First sectors and what lies in them, in sectors of 4096 bytes: a file system, and a chain of one link. */
static void put_large(Disk *d)
{
        disk_make(d, 1000 * 4096);
        disk_put_mbr(d, 0, 0, 0x83, 256, 100);
        disk_put_mbr(d, 0, 1, 0x05, 400, 200);
        disk_put_mbr(d, 400 * 4096, 0, 0x83, 10, 20);
        disk_put_mbr(d, 400 * 4096, 1, 0x05, 50, 50);
        disk_put_mbr(d, 450 * 4096, 0, 0x07, 1, 30);
        disk_put(d, 256 * 4096, "XFSB", 4);
}

static void expect_large(Disk *d, uint32_t stated)
{
        d->sector_size = stated;
        disk_expect(d, PARTITION_SCHEME_MBR, 4);
        assert_int_equal(d->table->sector_size, 4096);
        disk_expect_at(d, 1, 256 * 4096, 100 * 4096);
        disk_expect_at(d, 2, 400 * 4096, 200 * 4096);
        disk_expect_at(d, 5, 410 * 4096, 20 * 4096);
        disk_expect_at(d, 6, 451 * 4096, 30 * 4096);
}

static void test_sectors_of_4096_bytes(void **state)
{
        Disk d;

        put_large(&d);
        expect_large(&d, 4096);
        /* Nobody says so, but it looks like it. */
        expect_large(&d, 0);
        memset(d.bytes + 256 * 4096, 0, 4);
        expect_large(&d, 0);
        /* What is said counts, however it looks. */
        d.sector_size = 512;
        disk_expect(&d, PARTITION_SCHEME_MBR, 2);
        disk_expect_at(&d, 1, 256 * 512, 100 * 512);
        /* No chain, no file system: the sectors that nearly all disks have. */
        d.bytes[400 * 4096 + 510] = 0;
        d.sector_size = 0;
        disk_expect(&d, PARTITION_SCHEME_MBR, 2);
        assert_int_equal(d.table->sector_size, 512);
        /* Something at both places. */
        disk_put(&d, 256 * 4096, "XFSB", 4);
        disk_put(&d, 256 * 512, "hsqs", 4);
        disk_expect(&d, PARTITION_SCHEME_MBR, 2);
        assert_int_equal(d.table->sector_size, 512);
        /* In large sectors one would not lie on the disk. */
        memset(d.bytes + 256 * 512, 0, 4);
        disk_put_mbr(&d, 0, 2, 0x83, 700, 400);
        disk_expect(&d, PARTITION_SCHEME_MBR, 3);
        assert_int_equal(d.table->sector_size, 512);
        d.sector_size = 4096;
        disk_expect_refusal(&d, "too large",
                            "partition 3 (400 sectors from 700 on) does not lie "
                            "within the disk of 1000 sectors of 4096 bytes");
        disk_done(&d);
}

static void test_what_begins_a_partition(void **state)
{
        static const struct {
                uint32_t at;
                const char *text;
        } cases[] = {
                { 3, "NTFS    " },
                { 54, "FAT16   " },
                { 82, "FAT32   " },
                { 0, "hsqs" },
                { 0, "LUKS\xba\xbe" },
                { 512, "LABELONE" },
                { 1024, "H+" },
                { 4086, "SWAPSPACE2" },
                { 64 * 1024 + 64, "_BHRfS_M" },
                { 1024 + 56, "\x53\xef" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Disk d;

                disk_make(&d, 300 * 4096);
                disk_put_mbr(&d, 0, 0, 0x83, 256, 44);
                disk_put(&d, 256 * 4096 + cases[i].at, cases[i].text, strlen(cases[i].text));
                disk_expect(&d, PARTITION_SCHEME_MBR, 1);
                if (d.table->sector_size != 4096)
                        fail_msg("'%s' is not known", cases[i].text);
                disk_done(&d);
        }
        /* Two bytes alone say little. */
        Disk d;
        disk_make(&d, 300 * 4096);
        disk_put_mbr(&d, 0, 0, 0x83, 256, 44);
        disk_put(&d, 256 * 4096 + 1024 + 56, "\x53\xef", 2);
        d.bytes[256 * 4096 + 1024 + 24] = 7;
        disk_expect(&d, PARTITION_SCHEME_MBR, 1);
        assert_int_equal(d.table->sector_size, 512);
        /* The last bytes of a disk. */
        disk_put_mbr(&d, 0, 0, 0x83, 299, 1);
        disk_expect(&d, PARTITION_SCHEME_MBR, 1);
        disk_done(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_primary_partitions),
                cmocka_unit_test(test_logical_partitions_count_from_two_places),
                cmocka_unit_test(test_a_frame_may_be_empty),
                cmocka_unit_test(test_what_cannot_be_is_refused),
                cmocka_unit_test(test_a_chain_has_an_end),
                cmocka_unit_test(test_what_is_no_table),
                cmocka_unit_test(test_an_entry_from_sector_0_on_holds_others),
                cmocka_unit_test(test_an_error_is_passed_on),
                cmocka_unit_test(test_sectors_of_4096_bytes),
                cmocka_unit_test(test_what_begins_a_partition),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
