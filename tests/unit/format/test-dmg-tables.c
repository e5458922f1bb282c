/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/dmg/dmg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Case {
        const char *text, *bytes; /* as many of them as there are before it ends or breaks */
        bool is_broken;
} Case;

static const Case cases[] = {
        { "", "", false },
        { "QQ==", "A", false },
        { "QUI=", "AB", false },
        { "QUJD", "ABC", false },
        { "QUJDRA==", "ABCD", false },
        { "QUJDRA", "ABCD", false },
        { "\n\tQU\r\n\tJ D\n", "ABC", false },
        { "QQ = = ", "A", false },
        { "/+/+", "\xff\xef\xfe", false },
        { "QQ==QQ==", "A", true },
        { "QU*D", "A", true },
        { "QUJDQ", "ABC", false },
        { "-_-_", "", true },
        { "QUJD&amp;", "ABC", true },
};

static void test_base64(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                for (size_t step = 1; step < 4; step++) {
                        const uint8_t *text = (const uint8_t *)c->text;
                        DmgSource s = { .at = text,
                                        .end = text + strlen(c->text),
                                        .is_text = true };
                        char buf[32] = "";
                        size_t len = 0, got = 0;
                        while ((got = dmg_source_read(&s, buf + len, step)) == step)
                                len += got;
                        len += got;
                        if (len != strlen(c->bytes) || memcmp(buf, c->bytes, len) != 0 ||
                            s.is_broken != c->is_broken)
                                fail_msg("%s: '%s', %d", c->text, buf, s.is_broken);
                }
        }
}

static void test_bytes(void **state)
{
        const uint8_t *bytes = (const uint8_t *)"abcde";
        DmgSource s = { .at = bytes, .end = bytes + 5 };
        char buf[8] = "";

        assert_int_equal(dmg_source_read(&s, buf, 3), 3);
        assert_int_equal(dmg_source_read(&s, buf + 3, 5), 2);
        assert_string_equal(buf, "abcde");
        assert_int_equal(dmg_source_read(&s, buf, 1), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_base64),
                cmocka_unit_test(test_bytes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
