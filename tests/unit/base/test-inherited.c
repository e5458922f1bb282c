/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_null(int fd)
{
        struct stat st;
        return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

/* What happens to descriptors happens in a child; it exits with 0 when all is as it should be. */
static void see_child(bool (*look)(int arg), int arg)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(look(arg) ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0)
                fail_msg("case %d: status %#x", arg, status);
}

static bool look_at_missing(int missing)
{
        int zero = fcntl(open("/dev/zero", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, 20);
        bool good = true;

        for (int fd = 0; fd < 3; fd++) {
                if (missing & 1 << fd)
                        close(fd);
                else
                        dup2(zero, fd);
        }
        good &= inherited_fill_stdio() == 0;
        for (int fd = 0; fd < 3; fd++)
                good &= is_open(fd) && is_null(fd) == (missing >> fd & 1) &&
                        (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
        return good;
}

static void test_missing_ones_become_null(void **state)
{
        for (int missing = 0; missing < 8; missing++)
                see_child(look_at_missing, missing);
}

static bool look_at_rest(int keep)
{
        for (int fd = 3; fd < 10; fd++)
                dup2(0, fd);
        if (inherited_close_rest(keep) != 0)
                return false;
        for (int fd = 0; fd < 12; fd++)
                if (is_open(fd) != (fd < 3 || fd == keep))
                        return false;
        return keep < 0 || fcntl(keep, F_GETFD) == FD_CLOEXEC;
}

static void test_the_rest_is_closed(void **state)
{
        static const int keep[] = { -1, 3, 4, 9 };

        for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
                see_child(look_at_rest, keep[i]);
}

static bool look_at_nothing_to_keep(int keep)
{
        close(keep);
        return inherited_close_rest(keep) == -EBADF;
}

static void test_what_is_to_be_kept_must_be_there(void **state)
{
        see_child(look_at_nothing_to_keep, 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_missing_ones_become_null),
                cmocka_unit_test(test_the_rest_is_closed),
                cmocka_unit_test(test_what_is_to_be_kept_must_be_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
