/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_what_may_be_shown(void **state)
{
        static const struct {
                const char *name, *text, *shown;
        } cases[] = {
                { "plain", "web.qcow2: qcow2: version 4", "web.qcow2: qcow2: version 4" },
                { "nothing", "", "" },
                { "letters of two, three and four bytes", "ä€😀", "ä€😀" },
                { "a second line", "x\nMAINPID=1\nREADY=1", "x?MAINPID=1?READY=1" },
                { "an escape sequence", "\033[2J\033]0;title\007", "?[2J?]0;title?" },
                { "DEL and carriage return", "a\177b\rc", "a?b?c" },
                { "CSI as one character",
                  "a\xc2\x9b"
                  "31m",
                  "a?31m" },
                { "NEL", "a\xc2\x85z", "a?z" },
                { "NO-BREAK SPACE comes right after them", "a\xc2\xa0z", "a\xc2\xa0z" },
                { "CSI as a byte",
                  "a\x9b"
                  "31m",
                  "a?31m" },
                { "Latin-1", "gr\xfc\xdf", "gr??" },
                { "cut off", "\xe2\x82", "??" },
                { "cut off, then a letter", "\xe2\x82z", "??z" },
                { "longer than needed", "\xc0\x8a", "??" },
                { "a surrogate", "\xed\xa0\x80", "???" },
                { "beyond Unicode", "\xf4\x90\x80\x80\xf8", "?????" },
                { "written backwards", "a\xe2\x80\xaewx", "a?wx" },
                { "an isolate", "\xe2\x81\xa6x\xe2\x81\xa9", "?x?" },
                { "a line separator", "x\xe2\x80\xa8y", "x?y" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char text[64];
                strcpy(text, cases[i].text);
                utf8_make_printable(text);
                if (strcmp(text, cases[i].shown) != 0)
                        fail_msg("%s: '%s'", cases[i].name, text);
        }
}

static void test_numbers(void **state)
{
        uint32_t c = 0;

        assert_int_equal(utf8_length("\xf0\x9f\x98\x80", &c), 4);
        assert_int_equal(c, 0x1f600);
        assert_int_equal(utf8_length("\xc3\xa4", &c), 2);
        assert_int_equal(c, 0xe4);
        assert_int_equal(utf8_length("\x80", &c), 0);
        assert_int_equal(c, 0xe4);
        assert_false(utf8_is_control(0xe4));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_may_be_shown),
                cmocka_unit_test(test_numbers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
