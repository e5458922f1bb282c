/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/pid-file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        ALICE = 64001,
};

static int folder_setup(void **state)
{
        char *folder = strdup("/tmp/test-pid-file-XXXXXX");

        if (!mkdtemp(folder) || chdir(folder) < 0)
                return -1;
        *state = folder;
        return 0;
}

static int folder_teardown(void **state)
{
        char *folder = *state;
        int r = chdir("/") < 0 ? -1 : rmdir(folder);

        free(folder);
        return r;
}

static void write_text(const char *name, const char *text)
{
        FILE *f = fopen(name, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void see_text(const char *name, const char *expected)
{
        char text[128] = "";
        FILE *f = fopen(name, "re");
        assert_non_null(f);
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        text[n] = '\0';
        assert_string_equal(text, expected);
}

static int write_pid(const char *folder, const char *name, PathRule rule, PidFile *ret, Err *err)
{
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        *ret = PID_FILE_NONE;
        int r = pid_file_write(path, rule, ret, err);
        /* It points into the path. */
        ret->name = name;
        return r;
}

static void test_written_and_taken_away(void **state)
{
        static const char *const before[] = { NULL, "", "12345\n", "4294967295" };
        char own[32];

        snprintf(own, sizeof(own), "%d\n", getpid());
        for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
                PidFile f;
                if (before[i])
                        write_text("pid", before[i]);
                assert_int_equal(write_pid(*state, "pid", PATH_RULE_LINKS, &f, NULL), 0);
                see_text("pid", own);
                pid_file_withdraw(&f);
                assert_int_equal(access("pid", F_OK), -1);
                /* Twice is once. */
                pid_file_withdraw(&f);
        }
}

static void test_what_is_no_pid_file(void **state)
{
        static const char *const texts[] = { "root:x:0:0:root:/root:/bin/bash\n", "12 34", "-1\n",
                                             "111111111111111111111111111111111111111111111" };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                PidFile f;
                Err err = { "" };
                write_text("pid", texts[i]);
                assert_int_equal(write_pid(*state, "pid", PATH_RULE_KERNEL, &f, &err), -EEXIST);
                assert_non_null(strstr(err.text, "is no pid file"));
                see_text("pid", texts[i]);
                assert_int_equal(f.fd, -1);
                unlink("pid");
        }
}

static void test_what_leads_elsewhere(void **state)
{
        PidFile f;
        Err err = { "" };

        write_text("victim", "1\n");
        assert_int_equal(symlink("victim", "pid"), 0);
        assert_int_equal(write_pid(*state, "pid", PATH_RULE_KERNEL, &f, &err), -ELOOP);
        assert_int_equal(unlink("pid"), 0);
        assert_int_equal(link("victim", "pid"), 0);
        assert_int_equal(write_pid(*state, "pid", PATH_RULE_KERNEL, &f, &err), -EPERM);
        assert_non_null(strstr(err.text, "it has 2 names"));
        assert_int_equal(unlink("pid"), 0);
        assert_int_equal(mkfifo("pid", 0600), 0);
        assert_int_equal(write_pid(*state, "pid", PATH_RULE_KERNEL, &f, &err), -EINVAL);
        assert_int_equal(unlink("pid"), 0);
        see_text("victim", "1\n");
        assert_int_equal(unlink("victim"), 0);
}

static void test_a_link_of_others(void **state)
{
        PidFile f;
        Err err = { "" };

        if (geteuid() != 0)
                skip();
        assert_int_equal(mkdir("folder", 0755), 0);
        assert_int_equal(symlink("folder", "way"), 0);
        assert_int_equal(write_pid(*state, "way/pid", PATH_RULE_LINKS, &f, &err), 0);
        f.name = "pid";
        pid_file_withdraw(&f);
        assert_int_equal(lchown("way", ALICE, ALICE), 0);
        assert_int_equal(write_pid(*state, "way/pid", PATH_RULE_LINKS, &f, &err), -EPERM);
        assert_non_null(strstr(err.text, "/way, on the way to it, belongs to user 64001"));
        assert_int_equal(access("folder/pid", F_OK), -1);
        write_text("folder/pid", "1\n");
        assert_int_equal(chown("folder/pid", ALICE, ALICE), 0);
        assert_int_equal(write_pid(*state, "folder/pid", PATH_RULE_LINKS, &f, &err), -EPERM);
        assert_non_null(strstr(err.text, "it belongs to user 64001"));
        assert_int_equal(unlink("folder/pid"), 0);
        assert_int_equal(unlink("way"), 0);
        assert_int_equal(rmdir("folder"), 0);
}

/* What lies there by then is not ours to take away. */
static void test_another_file_in_its_place(void **state)
{
        PidFile f;

        assert_int_equal(write_pid(*state, "pid", PATH_RULE_LINKS, &f, NULL), 0);
        assert_int_equal(rename("pid", "aside"), 0);
        write_text("pid", "other\n");
        pid_file_withdraw(&f);
        see_text("pid", "other\n");
        assert_int_equal(unlink("pid"), 0);
        assert_int_equal(unlink("aside"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_written_and_taken_away),
                cmocka_unit_test(test_what_is_no_pid_file),
                cmocka_unit_test(test_what_leads_elsewhere),
                cmocka_unit_test(test_a_link_of_others),
                cmocka_unit_test(test_another_file_in_its_place),
        };
        return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
