/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/specifier.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
        static const struct {
                const char *instance, *text, *expected;
        } cases[] = {
                { "web", "nothing", "nothing" },
                { "web", "", "" },
                { "web", "/vm/%i.qcow2", "/vm/web.qcow2" },
                { "my disk-1", "%i", "my\\x20disk\\x2d1" },
                { "my disk-1", "%I", "my disk-1" },
                { "my disk-1", "%n", "rawview@my\\x20disk\\x2d1.service" },
                { ".hidden.x", "%i", "\\x2ehidden.x" },
                { "a_b:c", "%i%I", "a_b:ca_b:c" },
                { "web", "100%%", "100%" },
                { "%i", "%I", "%i" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_free_ char *text = NULL;
                assert_int_equal(specifier_expand(cases[i].text, cases[i].instance, &text, NULL),
                                 0);
                assert_string_equal(text, cases[i].expected);
        }
}

static void test_who_and_where(void **state)
{
        _cleanup_free_ char *text = NULL;
        char expected[256];
        const struct passwd *user = getpwuid(getuid());

        setenv("HOME", "/home/x", 1);
        setenv("XDG_RUNTIME_DIR", "/run/user/x", 1);
        assert_int_equal(specifier_expand("%U %h %t", "web", &text, NULL), 0);
        snprintf(expected, sizeof(expected), "%u %s %s", getuid(),
                 getuid() == 0 ? "/root" : "/home/x", getuid() == 0 ? "/run" : "/run/user/x");
        assert_string_equal(text, expected);

        if (user) {
                _cleanup_free_ char *name = NULL;
                assert_int_equal(specifier_expand("%u", "web", &name, NULL), 0);
                assert_string_equal(name, user->pw_name);
        }
}

static void test_unknown(void **state)
{
        static const char *const texts[] = { "%", "a%", "%z", "%ii%" };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                char *text = NULL;
                Err err = { "" };
                assert_int_equal(specifier_expand(texts[i], "web", &text, &err), -EINVAL);
                assert_null(text);
                assert_non_null(strstr(err.text, "%i %I %h %t %u %U %n and %%"));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_who_and_where),
                cmocka_unit_test(test_unknown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
