/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/unit-name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The right side is what systemd-escape(1) of systemd 252 prints. */
static void test_as_systemd_escapes(void **state)
{
        static const struct {
                const char *text, *name;
        } cases[] = {
                { "web", "web" },
                { "my disk.image", "my\\x20disk.image" },
                { ".hidden", "\\x2ehidden" },
                { "a.b", "a.b" },
                { "a-b_c:d", "a\\x2db_c:d" },
                { "srv/web", "srv-web" },
                { "\xc3\xa4", "\\xc3\\xa4" },
                { "a\\b%@", "a\\x5cb\\x25\\x40" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char *name = NULL;
                size_t len = 0;
                FILE *out = open_memstream(&name, &len);

                assert_non_null(out);
                for (const char *c = cases[i].text; *c; c++)
                        unit_name_put(out, *c, c == cases[i].text);
                fclose(out);
                assert_string_equal(name, cases[i].name);
                free(name);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_as_systemd_escapes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
