/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/info.h"
#include "block/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_facts_keep_their_order_and_are_copies(void **state)
{
        Info i = { 0 };
        char text[] = "1.1";

        assert_int_equal(info_add_text(&i, "compat", text), 0);
        assert_int_equal(info_add_number(&i, "refcount-bits", 16), 0);
        assert_int_equal(info_add_bool(&i, "corrupt", true), 0);
        text[0] = '9';

        assert_int_equal(i.fact_count, 3);
        assert_string_equal(i.facts[0].key, "compat");
        assert_int_equal(i.facts[0].kind, FACT_TEXT);
        assert_string_equal(i.facts[0].text, "1.1");
        assert_string_equal(i.facts[1].key, "refcount-bits");
        assert_int_equal(i.facts[1].kind, FACT_NUMBER);
        assert_int_equal(i.facts[1].number, 16);
        assert_int_equal(i.facts[2].kind, FACT_BOOL);
        assert_true(i.facts[2].truth);
        info_done(&i);
        assert_int_equal(i.fact_count, 0);
        info_done(&i);
}

static void test_snapshots_and_bitmaps_are_copied(void **state)
{
        Info i = { 0 };
        char id[] = "1", name[] = "before";
        SnapshotInfo snapshot = { .id = id, .name = name, .disk_size = 7, .date_sec = 5 };
        BitmapInfo bitmap = { .name = name, .granularity = 65536, .in_use = true };

        for (int k = 0; k < 100; k++) {
                assert_int_equal(info_add_snapshot(&i, &snapshot), 0);
                assert_int_equal(info_add_bitmap(&i, &bitmap), 0);
        }
        id[0] = name[0] = 'X';
        assert_int_equal(i.snapshot_count, 100);
        assert_int_equal(i.bitmap_count, 100);
        assert_string_equal(i.snapshots[99].id, "1");
        assert_string_equal(i.snapshots[99].name, "before");
        assert_int_equal(i.snapshots[99].disk_size, 7);
        assert_string_equal(i.bitmaps[42].name, "before");
        assert_true(i.bitmaps[42].in_use);
        info_done(&i);
}

static void test_what_has_no_name(void **state)
{
        Info i = { 0 };
        SnapshotInfo snapshot = { 0 };
        BitmapInfo bitmap = { 0 };

        assert_int_equal(info_add_text(&i, "data-file", NULL), 0);
        assert_int_equal(info_add_snapshot(&i, &snapshot), 0);
        assert_int_equal(info_add_bitmap(&i, &bitmap), 0);
        assert_null(i.facts[0].text);
        assert_null(i.snapshots[0].name);
        info_done(&i);
}

static void test_there_is_an_end_to_it(void **state)
{
        char name[4097] = "";
        SnapshotInfo snapshot = { .id = name, .name = name };
        BitmapInfo bitmap = { .name = name };
        size_t most = LIMIT_INFO_COST / (LIMIT_INFO_COST_EACH + 2 * 4096);

        memset(name, 'x', 4096);
        for (int kind = 0; kind < 3; kind++) {
                Info i = { 0 };
                size_t count = 0;
                int r = 0;
                while (r == 0 && count < 4 * most) {
                        r = kind == 0   ? info_add_snapshot(&i, &snapshot)
                            : kind == 1 ? info_add_bitmap(&i, &bitmap)
                                        : info_add_text(&i, name, name);
                        count += r == 0;
                }
                assert_int_equal(r, -EFBIG);
                assert_in_range(count, most, 2 * most);
                assert_int_equal(i.snapshot_count + i.bitmap_count + i.fact_count, count);
                assert_true(i.cost <= LIMIT_INFO_COST);
                info_done(&i);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_facts_keep_their_order_and_are_copies),
                cmocka_unit_test(test_snapshots_and_bitmaps_are_copied),
                cmocka_unit_test(test_what_has_no_name),
                cmocka_unit_test(test_there_is_an_end_to_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
