/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_text(const char *name, char *got, const char *wanted)
{
        if (!got)
                fail_msg("%s: no memory", name);
        print_message("%s\n", name);
        assert_string_equal(got, wanted);
        free(got);
}

static void test_clean(void **state)
{
        static const struct {
                const char *name, *text, *printable, *utf8;
        } cases[] = {
                { "nothing", "", "", "" },
                { "plain", "base.img", "base.img", "base.img" },
                { "escape sequence", "a\x1b[31mb", "a?[31mb", "a\x1b[31mb" },
                { "line feed, tab, delete", "a\nb\tc\x7f", "a?b?c?", "a\nb\tc\x7f" },
                { "C1 control",
                  "a\xc2\x9b"
                  "31m",
                  "a?31m",
                  "a\xc2\x9b"
                  "31m" },
                { "the first that is none", "\xc2\xa0", "\xc2\xa0", "\xc2\xa0" },
                { "two, three and four bytes", "ä€\xf0\x9f\x92\xbe", "ä€\xf0\x9f\x92\xbe",
                  "ä€\xf0\x9f\x92\xbe" },
                { "a stray byte",
                  "a\xff"
                  "b",
                  "a?b",
                  "a\xef\xbf\xbd"
                  "b" },
                { "cut short", "h\xc3", "h?", "h\xef\xbf\xbd" },
                { "too long a form", "\xc0\xaf", "??", "\xef\xbf\xbd\xef\xbf\xbd" },
                { "a surrogate", "\xed\xa0\x80", "???", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
                { "beyond Unicode", "\xf5\x80", "??", "\xef\xbf\xbd\xef\xbf\xbd" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                expect_text(cases[i].name, text_printable(cases[i].text), cases[i].printable);
                expect_text(cases[i].name, text_utf8(cases[i].text), cases[i].utf8);
        }
}

static void test_size(void **state)
{
        static const struct {
                uint64_t bytes;
                const char *text;
        } cases[] = {
                { 0, "0 B" },
                { 999, "999 B" },
                { 1000, "0.977 KiB" },
                { 1024, "1 KiB" },
                { 1000448, "977 KiB" },
                { 1536 * 1024, "1.5 MiB" },
                { UINT64_C(10) << 20, "10 MiB" },
                { UINT64_C(1) << 40, "1 TiB" },
                { UINT64_MAX, "16 EiB" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                expect_text(cases[i].text, text_size(cases[i].bytes), cases[i].text);
}

static void test_beside(void **state)
{
        static const struct {
                const char *namer, *name, *text;
        } cases[] = {
                { "top.qcow2", "base.raw", "base.raw" },
                { "./top.qcow2", "base.raw", "./base.raw" },
                { "/vm/top.qcow2", "base.raw", "/vm/base.raw" },
                { "/vm/top.qcow2", "../base.raw", "/vm/../base.raw" },
                { "/vm/top.qcow2", "/base.raw", "/base.raw" },
                { "/top.qcow2", "base.raw", "/base.raw" },
                { "/vm/top.qcow2", "nbd://host/x", "nbd://host/x" },
                { "/vm/top.qcow2", "sub/a:b", "/vm/sub/a:b" },
                { "/vm/top.qcow2", "", "/vm/" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                expect_text(cases[i].text, text_beside(cases[i].namer, cases[i].name),
                            cases[i].text);
}

static void test_shell_words(void **state)
{
        static const struct {
                const char *text, *word;
        } cases[] = {
                { "/srv/web-1.qcow2", "/srv/web-1.qcow2" },
                { "/srv/a b", "'/srv/a b'" },
                { "it's $HOME", "'it'\\''s $HOME'" },
                { "~", "'~'" },
                { "", "''" },
                { "/srv/日本", "'/srv/日本'" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                expect_text(cases[i].text, text_shell_word(cases[i].text), cases[i].word);
        assert_null(text_shell_word("a\033[2J"));
        assert_null(text_shell_word("a\nb"));
        assert_null(text_shell_word("\xff"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_clean),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_beside),
                cmocka_unit_test(test_shell_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
