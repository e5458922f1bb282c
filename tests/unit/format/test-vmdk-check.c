/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/vmdk-image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void keep_text(void *arg, const char *text)
{
        char *all = arg;
        size_t len = strlen(all);

        snprintf(all + len, 1024 - len, "%s\n", text);
}

static CheckReport check(const VmdkImage *i, CheckRepair repair, char text[1024])
{
        CheckReport report = { .repair = repair, .tell = keep_text, .arg = text };
        VmdkOpened o;

        memset(text, 0, 1024);
        vmdk_image_open(i, repair == CHECK_LOOK ? VMDK_FOR_CHECK : VMDK_FOR_REPAIR, &o);
        if (node_check(o.node, &report) != 0)
                fail_msg("%s", report.err.text);
        vmdk_opened_done(&o);
        return report;
}

static void test_what_is_found(void **state)
{
        static const struct {
                unsigned grain, entry; /* and grain 0 lies at sector 16 */
                unsigned at, value;    /* a field, 4 bytes; at 0: none */
                unsigned corruptions, leaks;
                const char *text;
        } cases[] = {
                { 1, 24, 0, 0, 0, 0, "" },
                { 1, 1, 0, 0, 0, 1, "Leaked: 1 grains from 0x3000" },
                { 1, 0, 0, 0, 0, 1, "Leaked: 1 grains from 0x3000" },
                { 1, 16, 0, 0, 1, 1, "grain 1 at 0x2000 is another one as well" },
                { 1, 20, 0, 0, 1, 0, "grain 1 at 0x2800 is another one as well" },
                { 1, 32, 0, 0, 1, 1, "grain 1 at 0x4000 lies past the end of the file" },
                { 1, 24, VMDK_IMAGE_GD + 8, 99, 1, 0, "entry 2 of the grain directory" },
                { 1, 24, VMDK_IMAGE_RGD + 8, 99, 1, 0, "entry 2 of the redundant grain directory" },
                { 1, 24, VMDK_IMAGE_RGT + 8, 5, 0, 1, "redundant grain table 0 differs" },
                { 1, 24, VMDK_IMAGE_FLAGS, 3, 0, 0, "" },
                { 2, 1, VMDK_IMAGE_FLAGS, 3, 1, 1, "entry of grain 2 (0x1) is none" },
        };

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                char text[1024];
                VmdkImage i;

                vmdk_image_begin(&i, 40);
                vmdk_image_map(&i, 0, 16);
                vmdk_image_map(&i, cases[k].grain, cases[k].entry);
                i.len = 32 * 512;
                if (cases[k].at != 0)
                        vmdk_image_put(&i, cases[k].at, 4, cases[k].value);
                CheckReport r = check(&i, CHECK_LOOK, text);
                if (r.corruptions != cases[k].corruptions || r.leaks != cases[k].leaks ||
                    !strstr(text, cases[k].text))
                        fail_msg("case %zu: %u corruptions, %u leaks: %s", k,
                                 (unsigned)r.corruptions, (unsigned)r.leaks, text);
        }
}

/* What nothing refers to at the end of the file is cut off, and the copies of a table become alike. */
static void test_leaks_are_mended(void **state)
{
        char text[1024];
        VmdkImage i;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 16);
        vmdk_image_put(&i, VMDK_IMAGE_RGT, 4, 0);
        CheckReport r = check(&i, CHECK_REPAIR_LEAKS, text);
        assert_int_equal(r.corruptions, 0);
        assert_int_equal(r.leaks, 0);
        assert_int_equal(r.leaks_fixed, 1 + (64 - 24) / 8);
        assert_int_equal(r.image_end, 24 * 512);
        assert_int_equal(r.total_clusters, 40);
        assert_int_equal(r.allocated_clusters, 1);
}

/* A redundant table is in use even where the first directory has none, and is not cut off. Found by fuzz `vmdk`. */
static void test_a_redundant_table_alone_stays(void **state)
{
        char text[1024];
        VmdkImage i;

        vmdk_image_begin(&i, 20);
        vmdk_image_map(&i, 0, 16);
        vmdk_image_put(&i, VMDK_IMAGE_GD + 4, 4, 0);
        vmdk_image_put(&i, VMDK_IMAGE_RGD + 4, 4, 40);
        CheckReport r = check(&i, CHECK_REPAIR_LEAKS, text);
        assert_int_equal(r.corruptions, 0);
        assert_int_equal(r.image_end, 40 * 512 + 16 * 4);
        /* Two in front of it, one behind it. */
        assert_int_equal(r.leaks, 2);
        assert_int_equal(r.leaks_fixed, (64 - 41) / 8);
}

/* Where anything is damaged, nothing is thrown away. */
static void test_damage_is_left_alone(void **state)
{
        char text[1024];
        VmdkImage i;

        vmdk_image_begin(&i, 40);
        vmdk_image_map(&i, 0, 16);
        vmdk_image_map(&i, 1, 16);
        CheckReport r = check(&i, CHECK_REPAIR_ALL, text);
        assert_int_equal(r.corruptions, 1);
        assert_int_equal(r.corruptions_fixed, 0);
        assert_int_equal(r.leaks, (64 - 24) / 8);
        assert_int_equal(r.leaks_fixed, 0);
}

/* A COWD extent of 8 sectors: a header of four, the directory, a table of 32, and one grain of a sector. */
static void test_a_snapshot_of_esx(void **state)
{
        VmdkImage i = { .len = 38 * 512 };
        char text[1024];

        memcpy(i.bytes, "COWD", 4);
        vmdk_image_put(&i, 4, 4, 1);
        vmdk_image_put(&i, 8, 4, 3);
        vmdk_image_put(&i, 12, 4, 8);
        vmdk_image_put(&i, 16, 4, 1);
        vmdk_image_put(&i, 20, 4, 4);
        vmdk_image_put(&i, 24, 4, 1);
        vmdk_image_put(&i, 4 * 512, 4, 5);
        vmdk_image_put(&i, 5 * 512 + 4, 4, 37);
        CheckReport r = check(&i, CHECK_LOOK, text);
        assert_string_equal(text, "");
        assert_int_equal(r.corruptions + r.leaks, 0);
        assert_int_equal(r.allocated_clusters, 1);
        vmdk_image_put(&i, 5 * 512 + 8, 4, 3);
        r = check(&i, CHECK_LOOK, text);
        assert_int_equal(r.corruptions, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_found),
                cmocka_unit_test(test_leaks_are_mended),
                cmocka_unit_test(test_a_redundant_table_alone_stays),
                cmocka_unit_test(test_damage_is_left_alone),
                cmocka_unit_test(test_a_snapshot_of_esx),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
