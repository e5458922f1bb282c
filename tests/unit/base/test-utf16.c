/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/utf16.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Little-endian; the test turns each pair for the other order. */
static const struct {
        const char *name, *bytes;
        size_t len;
        const char *text; /* NULL: refused */
} cases[] = {
        { "nothing", "", 0, "" },
        { "plain", "b\0.\0v\0h\0d\0", 10, "b.vhd" },
        { "two and three bytes", "\xe4\0\xac\x20", 4, "ä€" },
        { "the last of one byte, the first of two", "\x7f\0\x80\0", 4, "\x7f\xc2\x80" },
        { "the last of two, the first of three", "\xff\x07\0\x08", 4, "\xdf\xbf\xe0\xa0\x80" },
        { "around the surrogates", "\xff\xd7\0\xe0", 4, "\xed\x9f\xbf\xee\x80\x80" },
        { "the last of three", "\xff\xff", 2, "\xef\xbf\xbf" },
        { "a pair", "\x3d\xd8\0\xde", 4, "😀" },
        { "the first pair", "\0\xd8\0\xdc", 4, "\xf0\x90\x80\x80" },
        { "the last pair", "\xff\xdb\xff\xdf", 4, "\xf4\x8f\xbf\xbf" },
        { "padding", "b\0\0\0\0\0", 6, "b" },
        { "nothing but padding", "\0\0\0\0", 4, "" },
        { "a NUL inside", "b\0\0\0c\0", 6, NULL },
        { "a NUL in front", "\0\0c\0", 4, NULL },
        { "half a unit", "b\0c", 3, NULL },
        { "a high surrogate alone", "\x3d\xd8", 2, NULL },
        { "a high surrogate, then a letter", "\x3d\xd8z\0", 4, NULL },
        { "a high surrogate, then padding", "\x3d\xd8\0\0", 4, NULL },
        { "two high surrogates", "\x3d\xd8\x3d\xd8", 4, NULL },
        { "a low surrogate alone", "\0\xde", 2, NULL },
        { "a pair the wrong way round", "\0\xde\x3d\xd8", 4, NULL },
};

static void check_order(size_t i, Utf16Order order)
{
        uint8_t bytes[16] = { 0 };
        char text[16] = "untouched";

        assert_true(cases[i].len <= sizeof(bytes));
        memcpy(bytes, cases[i].bytes, cases[i].len);
        for (size_t k = 0; order == UTF16_BE && k < cases[i].len / 2; k++) {
                uint8_t first = bytes[2 * k];
                bytes[2 * k] = bytes[2 * k + 1];
                bytes[2 * k + 1] = first;
        }
        int r = utf16_to_utf8(order, bytes, cases[i].len, text, sizeof(text));
        if (r != (cases[i].text ? 0 : -EBADMSG) ||
            strcmp(text, cases[i].text ? cases[i].text : "untouched") != 0)
                fail_msg("%s, order %d: %d, '%s'", cases[i].name, order, r, text);
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                check_order(i, UTF16_LE);
                check_order(i, UTF16_BE);
        }
}

static void test_room(void **state)
{
        char text[8] = "untouch";

        assert_int_equal(utf16_to_utf8(UTF16_LE, "a\0\xac\x20", 4, text, 4), -ENAMETOOLONG);
        assert_string_equal(text, "untouch");
        assert_int_equal(utf16_to_utf8(UTF16_LE, "a\0\xac\x20", 4, text, 5), 0);
        assert_string_equal(text, "a€");
        assert_int_equal(utf16_to_utf8(UTF16_LE, "", 0, text, 1), 0);
        assert_string_equal(text, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_room),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
