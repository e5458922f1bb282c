/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const TableColumn columns[] = {
        { "VIEW", .is_path = true },
        { "SIZE", .drop = 2, .is_number = true },
        { "STATE" },
        { "USER", .drop = 1 },
};

static char *print_table(const char *const *cells, size_t count, TableShape shape)
{
        _cleanup_table_ Table t;
        char *text = NULL;
        size_t len = 0;

        shape.line_end = "\n";
        terminal_prepare();
        table_init(&t, columns, 4);
        for (size_t i = 0; i < count; i++)
                table_add(&t, cells[i], strcmp(cells[i], "stale") == 0 ? TABLE_BAD : TABLE_PLAIN);
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        assert_true(table_print(&t, &shape, out));
        fclose(out);
        return text;
}

static const char *const rows[] = {
        "/srv/a-rather-long-folder/with-more/disk.raw",
        "20G",
        "serving",
        "root",
        "/srv/b.raw",
        "",
        "stale",
        "alice",
};

static void test_without_a_limit_nothing_is_missing(void **state)
{
        _cleanup_free_ char *text = print_table(rows, 8, (TableShape){ .heading = true });

        assert_string_equal(text,
                            "VIEW                                          SIZE  STATE    USER\n"
                            "/srv/a-rather-long-folder/with-more/disk.raw   20G  serving  root\n"
                            "/srv/b.raw                                       -  stale    alice\n");
}

static void test_paths_lose_their_middle_first(void **state)
{
        _cleanup_free_ char *text = print_table(rows, 8, (TableShape){ .width = 45 });

        assert_string_equal(text, "/srv/a-…th-more/disk.raw  20G  serving  root\n"
                                  "/srv/b.raw                  -  stale    alice\n");
}

static void test_columns_go_in_their_order(void **state)
{
        _cleanup_free_ char *narrow = print_table(rows, 8, (TableShape){ .width = 36 });
        _cleanup_free_ char *narrower = print_table(rows, 8, (TableShape){ .width = 30 });
        _cleanup_free_ char *least = print_table(rows, 8, (TableShape){ .width = 5 });

        assert_string_equal(narrow, "/srv/a-…-more/disk.raw  20G  serving\n"
                                    "/srv/b.raw                -  stale\n");
        assert_string_equal(narrower, "/srv/a…-more/disk.raw  serving\n"
                                      "/srv/b.raw             stale\n");
        assert_string_equal(least, "/s…k.raw  serving\n"
                                   "/s…b.raw  stale\n");
}

static void test_colours_take_no_room(void **state)
{
        _cleanup_free_ char *text =
                print_table(rows + 4, 4, (TableShape){ .colour = true, .heading = true });

        assert_string_equal(text,
                            "\033[1mVIEW\033[0m        \033[1mSIZE\033[0m  \033[1mSTATE\033[0m  "
                            "\033[1mUSER\033[0m\n"
                            "/srv/b.raw     -  \033[1;31mstale\033[0m  alice\n");
}

static void test_hostile_and_wide_names(void **state)
{
        static const char *const hostile[] = {
                "/a\033[2J\n\xff", "1", "serving",    "x", "/日本語", "2",
                "serving",         "y", "/e\xcc\x81", "3", "serving", "z",
        };
        _cleanup_free_ char *text = print_table(hostile, 12, (TableShape){ 0 });

        assert_string_equal(text, "/a?[2J??  1  serving  x\n"
                                  "/日本語   2  serving  y\n"
                                  "/e\xcc\x81        3  serving  z\n");
}

static void test_shortening(void **state)
{
        static const struct {
                const char *text;
                size_t width;
                const char *expected;
        } cases[] = {
                { "/srv/disk", 9, "/srv/disk" },   { "/srv/disk", 8, "/s…/disk" },
                { "/srv/disk", 1, "…" },           { "/srv/disk", 0, "" },
                { "日本語日本語", 7, "日…本語" },  { "日本語日本語", 6, "…本語" },
                { "abcde\xcc\x81xyz", 4, "a…yz" },
        };

        terminal_prepare();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_free_ char *text = terminal_shorten(cases[i].text, cases[i].width);
                assert_string_equal(text, cases[i].expected);
                assert_true(terminal_text_width(text) <= cases[i].width);
        }
}

static void test_rows_are_limited(void **state)
{
        _cleanup_free_ char *text = print_table(rows, 8, (TableShape){ .rows_max = 1 });

        assert_null(strchr(strchr(text, '\n') + 1, '\n'));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_a_limit_nothing_is_missing),
                cmocka_unit_test(test_paths_lose_their_middle_first),
                cmocka_unit_test(test_columns_go_in_their_order),
                cmocka_unit_test(test_colours_take_no_room),
                cmocka_unit_test(test_hostile_and_wide_names),
                cmocka_unit_test(test_shortening),
                cmocka_unit_test(test_rows_are_limited),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
