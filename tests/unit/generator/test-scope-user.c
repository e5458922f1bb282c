/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What root's own user manager would show is shown by the system's. */
static void test_root_has_no_views_of_a_user(void **state)
{
        _cleanup_search_path_ SearchPath path = { 0 };

        if (geteuid() != 0)
                skip();
        assert_int_equal(scope_fill_search_path(&path, NULL), 0);
        assert_null(path.folders[0]);
}

static void test_user(void **state)
{
        int status = 0;

        setenv("XDG_CONFIG_HOME", "/x", 1);
        pid_t pid = fork();
        if (pid == 0) {
                _cleanup_search_path_ SearchPath path = { 0 };
                if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
                        _exit(1);
                if (scope_fill_search_path(&path, NULL) < 0)
                        _exit(2);
                _exit(strcmp(path.folders[0], "/x/rawview") == 0 && !scope_of_program.is_system
                              ? 0
                              : 3);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_root_has_no_views_of_a_user),
                cmocka_unit_test(test_user),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
