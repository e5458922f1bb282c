/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_text_grows_from_the_inside_out(void **state)
{
        Err err;
        assert_int_equal(err_set(&err, EBADMSG, "grain size %d is not a power of two", 3),
                         -EBADMSG);
        assert_int_equal(err_prefix(&err, -EBADMSG, "vmdk"), -EBADMSG);
        assert_int_equal(err_prefix(&err, -EBADMSG, "backing file '%s'", "b.vmdk"), -EBADMSG);
        assert_string_equal(err.text,
                            "backing file 'b.vmdk': vmdk: grain size 3 is not a power of two");
}

static void test_m_is_the_code(void **state)
{
        Err err;
        err_set(&err, ENOENT, "cannot open it: %m");
        assert_string_equal(err.text, "cannot open it: No such file or directory");
}

static void test_nobody_wants_to_know(void **state)
{
        assert_int_equal(err_set(NULL, EIO, "unheard"), -EIO);
        assert_int_equal(err_prefix(NULL, -EIO, "unheard"), -EIO);
}

static void test_hostile_names_cannot_drive_a_terminal(void **state)
{
        Err err;
        err_set(&err, EACCES, "name '%s'", "a\033[2J\nb\177");
        assert_string_equal(err.text, "name 'a?[2J?b?'");
}

static void test_long_texts_are_cut_not_overrun(void **state)
{
        Err err;
        char name[2000];
        memset(name, 'x', sizeof(name));
        name[sizeof(name) - 1] = '\0';
        err_set(&err, EIO, "%s", name);
        assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
        err_prefix(&err, -EIO, "%s", name);
        assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_grows_from_the_inside_out),
                cmocka_unit_test(test_m_is_the_code),
                cmocka_unit_test(test_nobody_wants_to_know),
                cmocka_unit_test(test_hostile_names_cannot_drive_a_terminal),
                cmocka_unit_test(test_long_texts_are_cut_not_overrun),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
