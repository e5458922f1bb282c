/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

enum {
        DISK_SIZE = 1 << 20,
};

static void put_entry(
        Disk *d, uint32_t block, uint32_t i, uint32_t first, uint32_t count, const char *type)
{
        uint64_t at = (uint64_t)block * i;
        char name[32];

        snprintf(name, sizeof(name), "part %u", i);
        disk_put(d, at, "PM", 2);
        disk_put_be(d, at + 4, 3, 4);
        disk_put_be(d, at + 8, first, 4);
        disk_put_be(d, at + 12, count, 4);
        disk_put(d, at + 16, name, sizeof(name));
        disk_put(d, at + 48, type, strlen(type));
}

static void put_map(Disk *d, uint32_t block)
{
        disk_make(d, DISK_SIZE);
        disk_put(d, 0, "ER", 2);
        disk_put_be(d, 2, block, 2);
        put_entry(d, block, 1, 1, 15, "Apple_partition_map");
        put_entry(d, block, 2, 16, 100, "Apple_HFS");
        put_entry(d, block, 3, 116, 50, "Apple_Free");
}

static void test_blocks_of_any_size(void **state)
{
        for (uint32_t block = 512; block <= 4096; block *= 2) {
                Disk d;
                put_map(&d, block);
                disk_expect(&d, PARTITION_SCHEME_APM, 2);
                disk_expect_at(&d, 1, block, 15 * block);
                disk_expect_at(&d, 2, 16 * block, 100 * block);
                assert_string_equal(d.table->partitions[1].name, "part 2");
                assert_string_equal(d.table->partitions[1].apm_type, "Apple_HFS");
                disk_done(&d);
        }
}

static void test_a_cd_whose_map_is_one_of_disks(void **state)
{
        Disk d;

        put_map(&d, 512);
        disk_put_be(&d, 2, 2048, 2);
        disk_expect(&d, PARTITION_SCHEME_APM, 2);
        assert_int_equal(d.table->sector_size, 512);
        disk_done(&d);
}

static void test_a_text_may_fill_its_field(void **state)
{
        Disk d;

        put_map(&d, 512);
        memset(d.bytes + 2 * 512 + 16, 'n', 32);
        memset(d.bytes + 2 * 512 + 48, 't', 32);
        disk_expect(&d, PARTITION_SCHEME_APM, 2);
        assert_int_equal(strlen(d.table->partitions[1].name), 32);
        assert_int_equal(strlen(d.table->partitions[1].apm_type), 32);
        disk_done(&d);
}

static void test_what_cannot_be_is_refused(void **state)
{
        static const struct {
                const char *name;
                size_t at, len;
                uint64_t number;
                const char *words;
        } cases[] = {
                { "entries without end", 512 + 4, 4, UINT32_MAX, "it has 4294967295 entries" },
                { "no entries", 512 + 4, 4, 0, "it has 0 entries" },
                { "another count", 1024 + 4, 4, 4,
                  "entry 2 counts 4 entries where the first counts 3" },
                { "no entry", 1024, 2, 0, "entry 2 of 3 is none" },
                { "past the end", 1024 + 12, 4, DISK_SIZE / 512 - 15, "partition 2" },
                { "far past the end", 1024 + 8, 4, UINT32_MAX, "partition 2" },
                { "overlap", 1024 + 8, 4, 15, "partition 2 overlaps partition 1" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Disk d;
                put_map(&d, 512);
                disk_put_be(&d, cases[i].at, cases[i].number, cases[i].len);
                disk_expect_refusal(&d, cases[i].name, cases[i].words);
                disk_done(&d);
        }
}

static void test_what_is_no_map(void **state)
{
        static const uint32_t sizes[] = { 0, 1, 256, 513, 8192, 65535 };
        Disk d;

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                put_map(&d, 512);
                disk_put_be(&d, 2, sizes[i], 2);
                disk_put(&d, 512, "XX", 2);
                disk_expect(&d, PARTITION_SCHEME_NONE, 0);
                disk_done(&d);
        }
        disk_make(&d, 512);
        disk_put(&d, 0, "ER\2", 3);
        disk_expect(&d, PARTITION_SCHEME_NONE, 0);
        disk_done(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_blocks_of_any_size),
                cmocka_unit_test(test_a_cd_whose_map_is_one_of_disks),
                cmocka_unit_test(test_a_text_may_fill_its_field),
                cmocka_unit_test(test_what_cannot_be_is_refused),
                cmocka_unit_test(test_what_is_no_map),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
