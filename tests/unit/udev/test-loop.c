/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_no_name(void **state)
{
        dev_t device = 0;
        Err err = { 0 };

        assert_int_equal(loop_backing_device("loop1/../sda", &device, &err), -EINVAL);
        assert_non_null(strstr(err.text, "'loop1/../sda' is no name of a loop device"));
}

/* What a real one says is seen in the VM. */
static void test_no_device(void **state)
{
        dev_t device = 0;
        Err err = { 0 };

        assert_true(loop_backing_device("loop99999999", &device, &err) < 0);
        assert_non_null(strstr(err.text, "/dev/loop99999999: "));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_name),
                cmocka_unit_test(test_no_device),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
