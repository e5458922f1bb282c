/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

static void test_who_uses_it_in_words(void **state)
{
        LookUse use = { .pid_count = 2, .pids = { getpid(), 999999999 } };
        Loops loops = { .count = 2,
                        .list = { { .name = "loop3", .in_use = true, .user = "mounted at /mnt/a" },
                                  { .name = "loop4" } } };
        char text[USERS_TEXT_MAX], expected[USERS_TEXT_MAX];
        const Loops none = { .count = 0 };

        prctl(PR_SET_NAME, "a\nname");
        snprintf(
                expected, sizeof(expected),
                "/dev/loop3 (mounted at /mnt/a), /dev/loop4 (losetup --detach would end it), a (pid %d)",
                (int)getpid());
        users_format(&use, &loops, text);
        assert_string_equal(text, expected);
        assert_true(users_have_mount(&loops));
        loops.list[0].in_use = false;
        assert_false(users_have_mount(&loops));

        use.pid_count = 0;
        users_format(&use, &none, text);
        assert_string_equal(text, "");
        assert_false(users_have_mount(&none));
}

static void test_many_are_counted(void **state)
{
        LookUse use = { .pid_count = LOOK_PIDS_MAX };
        Loops loops = { .count = LOOPS_MAX };
        char text[USERS_TEXT_MAX];

        for (unsigned i = 0; i < LOOK_PIDS_MAX; i++)
                use.pids[i] = getpid();
        for (unsigned i = 0; i < LOOPS_MAX; i++) {
                loops.list[i] = (Loop){ .name = "loop1", .in_use = true };
                memset(loops.list[i].user, 'x', LOOPS_TEXT_MAX - 1);
        }
        users_format(&use, &loops, text);
        assert_true(strlen(text) < sizeof(text));
        loops.count = 1;
        loops.list[0].user[1] = '\0';
        prctl(PR_SET_NAME, "z");
        users_format(&use, &loops, text);
        assert_memory_equal(text, "/dev/loop1 (x), z (pid ", 23);
        assert_string_equal(text + strlen(text) - strlen(" and 13 more"), " and 13 more");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_uses_it_in_words),
                cmocka_unit_test(test_many_are_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
