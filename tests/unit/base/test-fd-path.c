/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fd-path.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_path(int fd, const char *expected)
{
        _cleanup_free_ char *path = NULL;
        Err err = { "" };

        assert_int_equal(fd_path(fd, &path, &err), 0);
        assert_string_equal(path, expected);
}

static void test_links_are_resolved(void **state)
{
        char folder[] = "/tmp/test-fd-path.XXXXXX", file[64], link[64], moved[64];

        assert_non_null(mkdtemp(folder));
        snprintf(file, sizeof(file), "%s/file", folder);
        snprintf(link, sizeof(link), "%s/link", folder);
        snprintf(moved, sizeof(moved), "%s/moved", folder);
        assert_int_equal(symlink("file", link), 0);
        _cleanup_close_ int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        _cleanup_close_ int by_link = open(link, O_PATH | O_CLOEXEC);
        assert_path(fd, file);
        assert_path(by_link, file);
        assert_int_equal(rename(file, moved), 0);
        assert_path(fd, moved);
        unlink(moved);
        unlink(link);
        rmdir(folder);
}

static void test_what_has_no_path(void **state)
{
        char *path = NULL;
        Err err = { "" };
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        assert_int_equal(fd_path(ends[0], &path, &err), -ENAMETOOLONG);
        assert_non_null(strstr(err.text, "has no path of a usable length"));
        close(ends[0]);
        close(ends[1]);
        assert_int_equal(fd_path(ends[0], &path, &err), -ENOENT);
        assert_null(path);
}

/* As deep as it takes until the path is longer than any that a program can give. */
static void test_a_path_that_is_too_long(void **state)
{
        char folder[] = "/tmp/test-fd-path.XXXXXX", name[201];
        char *path = NULL;
        int at[24];

        memset(name, 'x', 200);
        name[200] = '\0';
        assert_non_null(mkdtemp(folder));
        at[0] = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (int i = 1; i < 24; i++) {
                assert_int_equal(mkdirat(at[i - 1], name, 0700), 0);
                at[i] = openat(at[i - 1], name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                assert_true(at[i] >= 0);
        }
        assert_true(fd_path(at[23], &path, NULL) < 0);
        assert_null(path);
        for (int i = 23; i > 0; i--) {
                close(at[i]);
                assert_int_equal(unlinkat(at[i - 1], name, AT_REMOVEDIR), 0);
        }
        close(at[0]);
        rmdir(folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_links_are_resolved),
                cmocka_unit_test(test_what_has_no_path),
                cmocka_unit_test(test_a_path_that_is_too_long),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
