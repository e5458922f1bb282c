/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/confined.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HINT " (AppArmor may be what forbids it: see APPARMOR in rawviewd(8))"

static void test_an_enforced_profile_is_named(void **state)
{
        static const struct {
                const char *profile;
                int r;
                const char *text;
        } cases[] = {
                { "rawviewd (enforce)\n", -EACCES, "/vm: refused" HINT },
                { "rawview-worker//&rawviewd (enforce)\n", -EACCES, "/vm: refused" HINT },
                { "rawviewd (complain)\n", -EACCES, "/vm: refused" },
                { "unconfined\n", -EACCES, "/vm: refused" },
                { "system_u:system_r:init_t:s0", -EACCES, "/vm: refused" },
                { "", -EACCES, "/vm: refused" },
                { "rawviewd (enforce)\n", -EPERM, "/vm: refused" },
                { "rawviewd (enforce)\n", -ENOENT, "/vm: refused" },
        };
        char file[] = "/tmp/test-confined-XXXXXX";
        int fd = mkstemp(file);

        assert_true(fd >= 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err;
                int r = err_set(&err, -cases[i].r, "/vm: refused");
                assert_int_equal(ftruncate(fd, 0), 0);
                assert_int_equal(pwrite(fd, cases[i].profile, strlen(cases[i].profile), 0),
                                 strlen(cases[i].profile));
                assert_int_equal(confined_explain(file, r, &err), cases[i].r);
                assert_string_equal(err.text, cases[i].text);
        }
        close(fd);
        unlink(file);
}

static void test_without_such_a_file_nothing_is_said(void **state)
{
        Err err;

        int r = err_set(&err, EACCES, "refused");
        assert_int_equal(confined_explain("/proc/self/attr/none", r, &err), -EACCES);
        assert_string_equal(err.text, "refused");
}

static void test_a_long_text_stays_within_its_bounds(void **state)
{
        char file[] = "/tmp/test-confined-XXXXXX";
        int fd = mkstemp(file);
        Err err;

        assert_int_equal(write(fd, "rawviewd (enforce)\n", 19), 19);
        memset(err.text, 'x', sizeof(err.text) - 1);
        err.text[sizeof(err.text) - 1] = '\0';
        assert_int_equal(confined_explain(file, -EACCES, &err), -EACCES);
        assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
        close(fd);
        unlink(file);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_enforced_profile_is_named),
                cmocka_unit_test(test_without_such_a_file_nothing_is_said),
                cmocka_unit_test(test_a_long_text_stays_within_its_bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
