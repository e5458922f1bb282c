/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/target.h"

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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ROOT/file  ROOT/link -> file  ROOT/folder/  ROOT/fifo  ROOT/way -> folder  ROOT/folder/inner */
static int tree_setup(void **state)
{
        char *root = strdup("/tmp/test-target-XXXXXX");

        if (!mkdtemp(root) || chdir(root) < 0 || close(open("file", O_CREAT | O_WRONLY, 0600)) ||
            symlink("file", "link") || mkdir("folder", 0700) || mkfifo("fifo", 0600) ||
            symlink("folder", "way") || close(open("folder/inner", O_CREAT | O_WRONLY, 0600)))
                return -1;
        *state = root;
        return 0;
}

static int tree_teardown(void **state)
{
        static const char *const names[] = {
                "file", "link", "folder/inner", "folder", "fifo", "way"
        };
        char *root = *state;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                remove(names[i]);
        int r = chdir("/") < 0 ? -1 : rmdir(root);
        free(root);
        return r;
}

static void test_refusals(void **state)
{
        static const struct {
                const char *path;
                int r;
                const char *text;
        } cases[] = {
                { "missing", -ENOENT, "does not exist" },
                { "missing/file", -ENOENT, "No such file" },
                { "file/x", -ENOTDIR, "Not a directory" },
                { "link", -ELOOP, "is a symbolic link" },
                { "way", -ELOOP, "is a symbolic link" },
                { "folder", -EISDIR, "is a folder" },
                { "folder/", -EISDIR, "is a folder" },
                { "folder/..", -EISDIR, "is a folder" },
                { ".", -EISDIR, "is a folder" },
                { "/", -EISDIR, "is a folder" },
                { "fifo", -EINVAL, "is a fifo" },
                { "/dev/null", -EINVAL, "is a device" },
                /* Something of the system covers it already, or it is no regular file for us. */
                { "/proc/self/fd/0", -ELOOP, "a link in /proc" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Target t = TARGET_NONE;
                Err err = { "" };
                int r = target_open(cases[i].path, PATH_RULE_LINKS, &t, &err);
                if (r != cases[i].r || !strstr(err.text, cases[i].text))
                        fail_msg("%s: %d '%s'", cases[i].path, r, err.text);
                assert_int_equal(t.fd, -1);
        }
}

static void test_a_folder_where_one_is_wanted(void **state)
{
        static const struct {
                const char *path;
                int r;
                const char *text;
        } cases[] = {
                { "folder", 0, "" },
                { "folder/", 0, "" },
                { "folder///", 0, "" },
                { "file", -ENOTDIR, "is no folder" },
                { "link", -ENOTDIR, "is no folder" },
                { "fifo", -ENOTDIR, "is no folder" },
                { "missing", -ENOENT, "does not exist" },
                { "/", -EISDIR, "is a folder" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Target t = TARGET_NONE;
                Err err = { "" };
                int r = target_open_folder(cases[i].path, PATH_RULE_LINKS, &t, &err);
                if (r != cases[i].r || !strstr(err.text, cases[i].text))
                        fail_msg("%s: %d '%s'", cases[i].path, r, err.text);
                assert_true(r < 0 || (t.is_folder && strcmp(t.name, "folder") == 0));
                target_done(&t);
        }
}

static void test_every_spelling_is_one_place(void **state)
{
        static const char *const spellings[] = { "folder/inner", "./folder//inner", "way/inner",
                                                 "folder/../folder/inner" };
        char expected[128];

        snprintf(expected, sizeof(expected), "%s/folder/inner", (const char *)*state);
        for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
                Target t = TARGET_NONE;
                uint64_t id = 0;
                assert_int_equal(target_open(spellings[i], PATH_RULE_LINKS, &t, NULL), 0);
                assert_string_equal(t.path, expected);
                assert_string_equal(t.name, "inner");
                assert_int_equal(target_get_mount_id(&t, &id), 0);
                assert_int_equal(id, t.mount_id);
                target_done(&t);
                assert_int_equal(t.fd, -1);
        }
}

/* The descriptor stays with the file that was checked. */
static void test_a_swap_gains_nothing(void **state)
{
        Target t = TARGET_NONE;
        struct stat before, after;

        assert_int_equal(stat("file", &before), 0);
        assert_int_equal(target_open("file", PATH_RULE_LINKS, &t, NULL), 0);
        assert_int_equal(rename("file", "aside"), 0);
        assert_int_equal(symlink("/etc/passwd", "file"), 0);
        assert_int_equal(stat(t.link, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(rename("aside", "file"), 0);
        target_done(&t);
}

static void test_what_was_made_is_removed(void **state)
{
        Target t = TARGET_NONE;

        /* Something was written to it, or it is another file by now: that is somebody's. */
        assert_int_equal(close(open("made", O_CREAT | O_WRONLY, 0600)), 0);
        assert_int_equal(target_open("made", PATH_RULE_LINKS, &t, NULL), 0);
        assert_int_equal(truncate("made", 1), 0);
        target_remove(&t);
        assert_int_equal(access("made", F_OK), 0);
        assert_int_equal(rename("made", "aside"), 0);
        assert_int_equal(close(open("made", O_CREAT | O_WRONLY, 0600)), 0);
        target_remove(&t);
        assert_int_equal(access("made", F_OK), 0);
        assert_int_equal(rename("aside", "made"), 0);
        assert_int_equal(truncate("made", 0), 0);
        target_remove(&t);
        assert_int_equal(access("made", F_OK), -1);
        target_remove(&t);
        target_done(&t);
        target_remove(&t);
}

/* 0 if what is missing in the user's run-time folder is made there, and only there. */
static int user_make(const char *root)
{
        char path[256];
        Target t = TARGET_NONE;
        struct stat st;

        if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
                return 1;
        snprintf(path, sizeof(path), "%s/run", root);
        setenv("XDG_RUNTIME_DIR", path, 1);
        if (mkdir("run/rawview", 0700) || mkdir("run/rawview/below", 0700))
                return 2;
        if (target_open("run/missing", PATH_RULE_KERNEL, &t, NULL) != -ENOENT ||
            target_open("run/rawview/below/missing", PATH_RULE_KERNEL, &t, NULL) != -ENOENT)
                return 3;
        if (target_open("run/rawview/a b", PATH_RULE_KERNEL, &t, NULL) != 0)
                return 4;
        target_done(&t);
        if (stat("run/rawview/a b", &st) || !S_ISREG(st.st_mode) || (st.st_mode & 0777) != 0600 ||
            st.st_size != 0)
                return 5;
        /* systemd makes folders of mount points before it mounts; one in which there is something is no such folder. */
        if (mkdir("run/rawview/empty", 0755) ||
            target_open("run/rawview/empty", PATH_RULE_KERNEL, &t, NULL) != 0)
                return 8;
        target_done(&t);
        if (stat("run/rawview/empty", &st) || !S_ISREG(st.st_mode))
                return 9;
        if (mkdir("run/empty", 0755) || mkdir("run/rawview/below/full", 0755) ||
            target_open("run/empty", PATH_RULE_KERNEL, &t, NULL) != -EISDIR ||
            target_open("run/rawview/below", PATH_RULE_KERNEL, &t, NULL) != -EISDIR)
                return 10;
        /* What is there stays as it is. */
        if (symlink("/etc/passwd", "run/rawview/link") ||
            target_open("run/rawview/link", PATH_RULE_KERNEL, &t, NULL) != -ELOOP ||
            symlink("nowhere", "run/rawview/dangling") ||
            target_open("run/rawview/dangling", PATH_RULE_KERNEL, &t, NULL) != -ELOOP)
                return 6;
        setenv("XDG_RUNTIME_DIR", "run", 1);
        if (target_open("run/rawview/second", PATH_RULE_KERNEL, &t, NULL) != -ENOENT)
                return 7;
        return 0;
}

static void test_made_in_run_folder(void **state)
{
        static const char *const names[] = { "run/rawview/a b",
                                             "run/rawview/link",
                                             "run/rawview/dangling",
                                             "run/rawview/empty",
                                             "run/rawview/below/full",
                                             "run/rawview/below",
                                             "run/rawview",
                                             "run/empty",
                                             "run" };
        int status = 0;

        assert_int_equal(chmod(*state, 0755), 0);
        assert_int_equal(mkdir("run", 0777), 0);
        assert_int_equal(chmod("run", 0777), 0);
        pid_t pid = fork();
        if (pid == 0)
                _exit(user_make(*state));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                assert_int_equal(remove(names[i]), 0);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_a_folder_where_one_is_wanted),
                cmocka_unit_test(test_every_spelling_is_one_place),
                cmocka_unit_test(test_a_swap_gains_nothing),
                cmocka_unit_test(test_what_was_made_is_removed),
                cmocka_unit_test(test_made_in_run_folder),
        };
        return cmocka_run_group_tests(tests, tree_setup, tree_teardown);
}
