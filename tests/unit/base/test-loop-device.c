/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/loop-device.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

/* What stands in FOLDER/loop7/loop/backing_file. */
static void attribute_write(const char *text)
{
        char path[128];

        snprintf(path, sizeof(path), "%s/loop7/loop/backing_file", folder);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int folder_make(void **state)
{
        char path[128];

        snprintf(folder, sizeof(folder), "/tmp/rawview-loop.XXXXXX");
        if (!mkdtemp(folder))
                return -1;
        snprintf(path, sizeof(path), "%s/loop7", folder);
        mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/loop7/loop", folder);
        return mkdir(path, 0700);
}

static int folder_remove(void **state)
{
        static const char *const names[] = { "/loop7/loop/backing_file", "/loop7/loop", "/loop7",
                                             "" };
        char path[128];

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                snprintf(path, sizeof(path), "%s%s", folder, names[i]);
                remove(path);
        }
        return 0;
}

static void test_path(void **state)
{
        static const struct {
                const char *text, *path;
        } cases[] = {
                { "/run/rawview/web\n", "/run/rawview/web" },
                { "/run/a b\nc\"\n\n", "/run/a b\nc\"\n" },
                { "/run/rawview/web (deleted)\n", "/run/rawview/web (deleted)" },
                { "/run/cut", NULL },
                { "run\n", NULL },
                { "\n", NULL },
                { "", NULL },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_free_ char *path = NULL;
                attribute_write(cases[i].text);
                int r = loop_device_read_path(folder, "loop7", &path, NULL);
                assert_int_equal(r, cases[i].path ? 0 : -EBADMSG);
                if (cases[i].path)
                        assert_string_equal(path, cases[i].path);
        }
}

static void test_nothing_attached(void **state)
{
        _cleanup_free_ char *path = NULL;

        assert_int_equal(loop_device_read_path(folder, "loop8", &path, NULL), -ENOENT);
        assert_null(path);
}

static void test_names(void **state)
{
        static const char *const bad[] = { "",        "loop",           "sda",
                                           "loop0p1", "loop1/../loop7", "loop ",
                                           "loop-1",  "Loop1",          "loop12345678901234" };
        _cleanup_free_ char *path = NULL;
        Err err = { 0 };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_false(loop_device_is_name(bad[i]));
                assert_int_equal(loop_device_read_path(folder, bad[i], &path, &err), -EINVAL);
                assert_non_null(strstr(err.text, "no name of a loop device"));
        }
        assert_true(loop_device_is_name("loop0"));
        assert_true(loop_device_is_name("loop1234567"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_nothing_attached),
                cmocka_unit_test(test_names),
        };
        return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
