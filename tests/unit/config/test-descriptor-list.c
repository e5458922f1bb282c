/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/descriptor-list.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        CASE_FILES = 6,
};

typedef struct Case {
        const char *name;
        const char *files[CASE_FILES]; /* "x/" is a folder */
        const char *open_to_all;       /* a folder with mode 0777 */
        const char *names;             /* found, each with a blank behind it */
        const char *warning;           /* the last one */
} Case;

/* The search path is a, b, c; c never exists. */
static const Case cases[] = {
        { "none" },
        { "sorted, each once, of all folders",
          { "b/web.image", "a/zoo.image", "b/10.image", "a/web.image" },
          .names = "10 web zoo " },
        { "what is no descriptor",
          { "a/web.image.d/", "a/web.conf", "a/image", "a/.image", "a/.x.image", "a/x.image~" } },
        { "names with blanks, signs and letters of all kinds",
          { "a/my disk.image", "a/a%b.image", "a/\xc3\xa4.image", "a/...image" },
          .names = "a%b my disk \xc3\xa4 " },
        { "folders, too: reading one says what is wrong", { "a/x.image/" }, .names = "x " },
        { "a newline in a name hides nothing else",
          { "a/x\n[Service].image", "a/web.image" },
          .names = "web ",
          .warning = "a/x?[Service].image: is no name that a descriptor can have; it is left out" },
        { "no UTF-8",
          { "a/\xff.image", "b/web.image" },
          .names = "web ",
          .warning = "a/?.image: is no name" },
        { "a folder to which others could lead us",
          { "a/bad.image", "b/web.image" },
          .open_to_all = ".",
          .warning = "b: refused: the folder " },
        { "a folder that is none",
          { "a/x", "c" },
          .warning = "c: cannot open it: Not a directory" },
};

static int root_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
        return remove(path);
}

static void root_make(char ret[64], const Case *t)
{
        strcpy(ret, "/tmp/test-descriptor-list.XXXXXX");
        assert_non_null(mkdtemp(ret));
        assert_int_equal(chdir(ret), 0);
        assert_int_equal(mkdir("a", 0755), 0);
        assert_int_equal(mkdir("b", 0755), 0);
        for (const char *const *f = t->files; f < t->files + CASE_FILES && *f; f++) {
                int fd = (*f)[strlen(*f) - 1] == '/' ? mkdir(*f, 0755) : creat(*f, 0644);
                assert_return_code(fd, errno);
                if (fd > 0)
                        close(fd);
        }
        if (t->open_to_all)
                assert_int_equal(chmod(t->open_to_all, 0777), 0);
}

static void root_drop(const char *root)
{
        assert_int_equal(chdir("/"), 0);
        assert_int_equal(nftw(root, root_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void warnings_keep(void *arg, const char *text)
{
        snprintf(arg, sizeof(Err), "%s", text);
}

static const char *const folders[] = { "a", "b", "c", NULL };

static void test_cases(void **state)
{
        for (const Case *t = cases; t < cases + sizeof(cases) / sizeof(cases[0]); t++) {
                _cleanup_descriptor_list_ DescriptorList list = { 0 };
                Err warning = { "" }, err = { "" };
                char root[64], names[256] = "";

                root_make(root, t);
                int r = descriptor_list_read(folders, warnings_keep, &warning, &list, &err);
                root_drop(root);
                assert_int_equal(r, 0);
                for (size_t i = 0; i < list.count; i++)
                        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s ",
                                 list.names[i]);
                if (strcmp(names, t->names ?: "") != 0 || !strstr(warning.text, t->warning ?: "") ||
                    !t->warning != !warning.text[0])
                        fail_msg("%s: '%s', '%s'", t->name, names, warning.text);
        }
}

static void test_many(void **state)
{
        _cleanup_descriptor_list_ DescriptorList list = { 0 };
        Err warning = { "" }, err = { "" };
        char root[64], name[32];

        root_make(root, &cases[0]);
        for (int i = 0; i < 3000; i++) {
                snprintf(name, sizeof(name), "%c/%04d.image", "ab"[i % 2], i / 3 * 2);
                int fd = creat(name, 0644);
                assert_return_code(fd, errno);
                close(fd);
        }
        int r = descriptor_list_read(folders, warnings_keep, &warning, &list, &err);
        root_drop(root);
        assert_int_equal(r, 0);
        assert_int_equal(list.count, 1000);
        assert_string_equal(list.names[999], "1998");
        assert_null(list.names[1000]);
}

/* Status 0: as it should be; 77: this process may not mount. */
static int look_at_covered(void)
{
        _cleanup_descriptor_list_ DescriptorList list = { 0 };
        Err warning = { "" };

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("a/other", "a/view.image", NULL, MS_BIND, NULL) < 0)
                return 77;
        if (descriptor_list_read(folders, warnings_keep, &warning, &list, NULL) < 0)
                return 1;
        if (list.count != 1 || strcmp(list.names[0], "web") != 0)
                return 2;
        return strstr(warning.text, "a/view.image: is covered by a mount") ? 0 : 3;
}

static void test_what_a_view_covers_is_not_touched(void **state)
{
        static const Case t = { .files = { "a/view.image", "a/other", "b/web.image" } };
        char root[64];
        int status = 0;

        root_make(root, &t);
        pid_t pid = fork();
        if (pid == 0)
                _exit(look_at_covered());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        root_drop(root);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* What the tests write is for root and its owner, whoever runs them. */
static int mask_setup(void **state)
{
        umask(022);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_what_a_view_covers_is_not_touched),
        };
        return cmocka_run_group_tests(tests, mask_setup, NULL);
}
