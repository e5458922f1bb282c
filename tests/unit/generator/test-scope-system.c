/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Nothing in the environment has a say. */
static void test_system(void **state)
{
        _cleanup_search_path_ SearchPath path = { 0 };

        setenv("XDG_CONFIG_HOME", "/x", 1);
        assert_int_equal(scope_fill_search_path(&path, NULL), 0);
        assert_string_equal(path.folders[0], "/etc/rawview");
        assert_true(scope_of_program.is_system);
        assert_non_null(strstr(scope_of_program.template_file, "/rawview@.service"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_system),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
