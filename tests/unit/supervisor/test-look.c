/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/look.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_what_a_worker_says_of_its_use(void **state)
{
        static const struct {
                const char *text;
                int result;
                uint64_t readers, writers, errors;
                unsigned pids;
                pid_t last;
        } cases[] = {
                { "readers=0 writers=0 errors=0 pids=", 0, 0, 0, 0, 0, 0 },
                { "readers=3 writers=1 errors=2 pids=17,4711", 0, 3, 1, 2, 2, 4711 },
                { "readers=1 writers=0 errors=0 pids=17,", 0, 1, 0, 0, 1, 17 },
                { "readers=20 writers=0 errors=0 pids=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", 0,
                  20, 0, 0, 16, 16 },
                { "", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=1", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=x writers=0 errors=0 pids=", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=1 writers=0 errors=0 ", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=1 writers=0 errors=0 pids=-1", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=1 writers=0 errors=0 pids=1,,2", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=1 writers=0 errors=0 pids=1234567890", -EBADMSG, 0, 0, 0, 0, 0 },
                { "readers=1 writers=0 errors=0 pids=1 2", -EBADMSG, 0, 0, 0, 0, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                LookUse use = { .readers = 99 };
                int r = look_parse_use(cases[i].text, &use);
                if (r != cases[i].result)
                        fail_msg("'%s': %d", cases[i].text, r);
                if (r < 0) {
                        assert_int_equal(use.readers, 99);
                        continue;
                }
                assert_int_equal(use.readers, cases[i].readers);
                assert_int_equal(use.writers, cases[i].writers);
                assert_int_equal(use.errors, cases[i].errors);
                assert_int_equal(use.pid_count, cases[i].pids);
                if (use.pid_count > 0)
                        assert_int_equal(use.pids[use.pid_count - 1], cases[i].last);
        }
}

/* The file that a view covered before somebody unmounted it. */
static void test_what_lies_beneath_is_no_view(void **state)
{
        char name[] = "/tmp/rawview-look-XXXXXX";
        int file = mkstemp(name), folder = open("/tmp", O_PATH | O_CLOEXEC);
        LookAnswer answer = { .use = "" };
        Attempt a;

        assert_true(file >= 0 && folder >= 0);
        assert_int_equal(look_start(folder, name + strlen("/tmp/"), LOOK_READ, &a), 0);
        assert_int_equal(attempt_finish(&a, 10000, &answer), -ENOTCONN);
        unlink(name);
        assert_int_equal(look_start(folder, name + strlen("/tmp/"), LOOK_ASK, &a), 0);
        assert_int_equal(attempt_finish(&a, 10000, &answer), -ENOENT);
        close(file);
        close(folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_a_worker_says_of_its_use),
                cmocka_unit_test(test_what_lies_beneath_is_no_view),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
