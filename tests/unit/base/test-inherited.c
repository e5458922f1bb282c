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

static const int kept_pairs[][2] = {
        { -1, -1 }, { 3, -1 }, { 4, -1 }, { 9, -1 }, { -1, 6 },
        { 3, 4 },   { 4, 3 },  { 5, 9 },  { 9, 5 },  { 7, 7 },
};

static bool look_at_rest(int index)
{
        const int *kept = kept_pairs[index];

        for (int fd = 3; fd < 10; fd++)
                dup2(0, fd);
        if (inherited_close_rest(kept[0], kept[1]) != 0)
                return false;
        for (int fd = 0; fd < 12; fd++) {
                bool keep = fd == kept[0] || fd == kept[1];
                if (is_open(fd) != (fd < 3 || keep))
                        return false;
                if (keep && fcntl(fd, F_GETFD) != FD_CLOEXEC)
                        return false;
        }
        return true;
}

static void test_the_rest_is_closed(void **state)
{
        for (size_t i = 0; i < sizeof(kept_pairs) / sizeof(kept_pairs[0]); i++)
                see_child(look_at_rest, (int)i);
}

static bool look_at_nothing_to_keep(int keep)
{
        close(keep);
        return inherited_close_rest(keep, -1) == -EBADF && inherited_close_rest(-1, keep) == -EBADF;
}

static void test_what_is_to_be_kept_must_be_there(void **state)
{
        see_child(look_at_nothing_to_keep, 5);
}

static void test_paths_of_descriptors(void **state)
{
        static const struct {
                const char *path;
                int result, fd;
        } cases[] = {
                { "/dev/fd/3", 1, 3 },
                { "/dev/fd/1024", 1, 1024 },
                { "/dev/fd/2", -EINVAL, -1 },
                { "/dev/fd/", -EINVAL, -1 },
                { "/dev/fd/x", -EINVAL, -1 },
                { "/dev/fd/3x", -EINVAL, -1 },
                { "/dev/fd/ 3", -EINVAL, -1 },
                { "/dev/fd/+3", -EINVAL, -1 },
                { "/dev/fd/99999999999999999999", -EINVAL, -1 },
                { "/dev/fd", 0, -1 },
                { "/proc/self/fd/3", 0, -1 },
                { "/srv/dev/fd/3", 0, -1 },
                { "", 0, -1 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int fd = -1;
                int r = inherited_parse_path(cases[i].path, &fd);
                if (r != cases[i].result || fd != cases[i].fd)
                        fail_msg("%s: %d, %d", cases[i].path, r, fd);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_missing_ones_become_null),
                cmocka_unit_test(test_the_rest_is_closed),
                cmocka_unit_test(test_what_is_to_be_kept_must_be_there),
                cmocka_unit_test(test_paths_of_descriptors),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
