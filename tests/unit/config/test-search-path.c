/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/search-path.h"

#include "build-config.h"

#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const variables[] = { "XDG_CONFIG_HOME", "HOME", "XDG_RUNTIME_DIR" };

static void set_environment(const char *const values[3])
{
        for (size_t i = 0; i < 3; i++) {
                if (values[i])
                        assert_int_equal(setenv(variables[i], values[i], 1), 0);
                else
                        assert_int_equal(unsetenv(variables[i]), 0);
        }
}

static void expect_folders(size_t number, const SearchPath *s, const char *const *expected)
{
        for (size_t i = 0; i <= SEARCH_PATH_MAX; i++) {
                const char *is = s->folders[i] ?: "(end)", *want = expected[i] ?: "(end)";
                if (strcmp(is, want) != 0)
                        fail_msg("case %zu: folder %zu is %s, not %s", number, i, is, want);
                if (!expected[i])
                        return;
        }
}

static void test_user(void **state)
{
        static const struct {
                const char *environment[3];
                const char *folders[SEARCH_PATH_MAX + 1];
        } cases[] = {
                { { "/c", "/h", "/r" },
                  { "/c/rawview", "/r/rawview", "/etc/rawview/user", RAWVIEW_VENDORDIR "/user" } },
                { { NULL, "/h", "/r" },
                  { "/h/.config/rawview", "/r/rawview", "/etc/rawview/user",
                    RAWVIEW_VENDORDIR "/user" } },
                { { "", "/h", "" },
                  { "/h/.config/rawview", "/etc/rawview/user", RAWVIEW_VENDORDIR "/user" } },
                { { "relative", "/h", "relative" },
                  { "/h/.config/rawview", "/etc/rawview/user", RAWVIEW_VENDORDIR "/user" } },
                { { "/etc", "/h", "/etc" },
                  { "/etc/rawview", "/etc/rawview/user", RAWVIEW_VENDORDIR "/user" } },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_search_path_ SearchPath s;
                set_environment(cases[i].environment);
                assert_int_equal(search_path_fill_user(&s, NULL), 0);
                expect_folders(i, &s, cases[i].folders);
        }
}

static void test_home_of_the_user_database(void **state)
{
        static const char *const none[3] = { NULL };
        const struct passwd *user = getpwuid(geteuid());
        _cleanup_search_path_ SearchPath s;
        char expected[4200];

        if (!user)
                skip();
        snprintf(expected, sizeof(expected), "%s/.config/rawview", user->pw_dir);
        set_environment(none);
        assert_int_equal(search_path_fill_user(&s, NULL), 0);
        assert_string_equal(s.folders[0], expected);
}

static void test_system_ignores_the_environment(void **state)
{
        static const char *const environment[3] = { "/c", "/h", "/r" };
        _cleanup_search_path_ SearchPath s;

        set_environment(environment);
        assert_int_equal(search_path_fill_system(&s, NULL), 0);
        assert_string_equal(s.folders[0], "/etc/rawview");
        assert_string_equal(s.folders[1], "/run/rawview");
        assert_string_equal(s.folders[2], "/usr/local/lib/rawview");
        if (strcmp(RAWVIEW_VENDORDIR, s.folders[2]) == 0)
                assert_null(s.folders[3]);
        else
                assert_string_equal(s.folders[3], RAWVIEW_VENDORDIR);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_user),
                cmocka_unit_test(test_home_of_the_user_database),
                cmocka_unit_test(test_system_ignores_the_environment),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
