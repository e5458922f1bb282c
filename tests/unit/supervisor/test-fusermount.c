/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/fusermount.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A folder that is all of $PATH, with what the test takes for fusermount3 in it. */
typedef struct Fake {
        char folder[64];
        char program[96];
        char old_path[1024];
} Fake;

static int fake_setup(void **state)
{
        Fake *f = calloc(1, sizeof(*f));
        const char *path = getenv("PATH");

        snprintf(f->folder, sizeof(f->folder), "/tmp/test-fusermount-XXXXXX");
        if (!mkdtemp(f->folder))
                return -1;
        snprintf(f->program, sizeof(f->program), "%s/fusermount3", f->folder);
        snprintf(f->old_path, sizeof(f->old_path), "%s", path ? path : "");
        setenv("PATH", f->folder, 1);
        *state = f;
        return 0;
}

static int fake_teardown(void **state)
{
        Fake *f = *state;

        setenv("PATH", f->old_path, 1);
        unlink(f->program);
        int r = rmdir(f->folder);
        free(f);
        return r;
}

static void fake_write(const Fake *f, const char *script)
{
        FILE *file = fopen(f->program, "we");
        assert_non_null(file);
        fprintf(file, "#!/bin/sh\n%s\n", script);
        fclose(file);
        assert_int_equal(chmod(f->program, 0755), 0);
}

static void test_escape(void **state)
{
        static const struct {
                const char *before, *text, *expected;
        } cases[] = {
                { "fsname=", "/vm/web.qcow2", "fsname=/vm/web.qcow2" },
                { "", "a,b\\c", "a\\,b\\\\c" },
                { "x", "", "x" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char options[64];
                snprintf(options, sizeof(options), "%s", cases[i].before);
                assert_int_equal(fusermount_escape(options, sizeof(options), cases[i].text), 0);
                assert_string_equal(options, cases[i].expected);
        }
}

static void test_escape_never_overruns(void **state)
{
        for (size_t size = 1; size < 12; size++) {
                char options[16];
                memset(options, 'z', sizeof(options));
                options[0] = '\0';
                int r = fusermount_escape(options, size, ",,,,");
                if (r == 0)
                        assert_true(strlen(options) < size);
                for (size_t i = size; i < sizeof(options); i++)
                        assert_int_equal(options[i], 'z');
                assert_int_equal(r, size >= 9 ? 0 : -ENAMETOOLONG);
        }
}

static void test_missing_program(void **state)
{
        int fd = -1;
        Err err = { "" };

        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -ENOENT);
        assert_non_null(strstr(err.text, "package fuse3"));
        assert_int_equal(fd, -1);
}

static void test_last_line_becomes_the_error(void **state)
{
        int fd = -1;
        Err err = { "" };

        fake_write(*state,
                   "echo noise >&2; echo 'fusermount3: option allow_other only allowed' >&2; "
                   "exit 1");
        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -EPERM);
        assert_string_equal(err.text, "fusermount3: option allow_other only allowed");
        fake_write(*state, "exit 3");
        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -EPERM);
        assert_string_equal(err.text, "fusermount3: failed silently");
}

static void test_success_without_a_descriptor(void **state)
{
        int fd = -1;
        Err err = { "" };

        fake_write(*state, "exit 0");
        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -EPROTO);
        assert_int_equal(fd, -1);
}

static void test_busy_is_told_apart(void **state)
{
        fake_write(*state,
                   "[ \"$2\" = -z ] && exit 0\n"
                   "echo 'fusermount3: failed to unmount /x: Device or resource busy' >&2; exit 1");
        assert_int_equal(fusermount_umount("/x", false, NULL), -EBUSY);
        assert_int_equal(fusermount_umount("/x", true, NULL), 0);
        fake_write(*state, "echo 'fusermount3: entry for /x not found in /etc/mtab' >&2; exit 1");
        assert_int_equal(fusermount_umount("/x", false, NULL), -EPERM);
}

/* The last one: there is no way back. */
static void test_no_new_privs_is_told(void **state)
{
        int fd = -1;
        Err err = { "" };

        fake_write(*state, "echo 'fusermount3: mount failed: Operation not permitted' >&2; exit 1");
        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -EPERM);
        assert_null(strstr(err.text, "no_new_privs"));
        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -EPERM);
        assert_non_null(strstr(err.text, "no_new_privs is set"));
        fake_write(*state, "echo 'fusermount3: something else' >&2; exit 1");
        assert_int_equal(fusermount_mount("/x", "ro", &fd, &err), -EPERM);
        assert_string_equal(err.text, "fusermount3: something else");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_escape_never_overruns),
                cmocka_unit_test(test_missing_program),
                cmocka_unit_test(test_last_line_becomes_the_error),
                cmocka_unit_test(test_success_without_a_descriptor),
                cmocka_unit_test(test_busy_is_told_apart),
                cmocka_unit_test(test_no_new_privs_is_told),
        };
        return cmocka_run_group_tests(tests, fake_setup, fake_teardown);
}
