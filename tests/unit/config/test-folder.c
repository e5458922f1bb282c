/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/folder.h"

#include "base/cleanup.h"

#include <errno.h>
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

typedef struct Case {
        const char *name;
        mode_t mode; /* of the folder's own folder */
        const char *path;
        int r;
        const char *text;
} Case;

static const Case cases[] = {
        { "root's or ours, and closed to others", 0755, "it" },
        { "others may put another one there", 0777, "it", -EPERM, "/it: refused: the folder " },
        { "it is not there", 0755, "gone", -ENOENT, "/gone: cannot open it: No such file" },
        { "it is a file", 0755, "file", -ENOTDIR, "/file: cannot open it: Not a directory" },
};

/* In it are a folder `it` and a file `file`. */
static char root[] = "/tmp/test-folder.XXXXXX";

static int root_setup(void **state)
{
        umask(022);
        if (!mkdtemp(root) || chdir(root) < 0 || mkdir("it", 0755) < 0)
                return -1;
        FILE *f = fopen("file", "we");
        return f ? fclose(f) : -1;
}

static int root_teardown(void **state)
{
        return unlink("file") < 0 || rmdir("it") < 0 || rmdir(root) < 0 ? -1 : 0;
}

static void test_cases(void **state)
{
        for (const Case *t = cases; t < cases + sizeof(cases) / sizeof(cases[0]); t++) {
                _cleanup_dir_ DIR *d = NULL;
                char path[64];
                Err err = { "" };

                assert_int_equal(chmod(root, t->mode), 0);
                snprintf(path, sizeof(path), "%s/%s", root, t->path);
                int r = folder_open(path, &d, &err);
                if (r != t->r || !strstr(err.text, t->text ?: "") || !d != (r < 0))
                        fail_msg("%s: %d '%s'", t->name, r, err.text);
        }
        assert_int_equal(chmod(root, 0755), 0);
}

static void test_entries_up_to_the_end(void **state)
{
        const struct dirent *entry = NULL;
        _cleanup_dir_ DIR *d = NULL;
        unsigned count = 0;

        assert_int_equal(folder_open(root, &d, NULL), 0);
        assert_int_equal(folder_next(d, "x", &entry, NULL), 0);
        for (; entry; count++)
                assert_int_equal(folder_next(d, "x", &entry, NULL), 0);
        /* With . and .. */
        assert_int_equal(count, 4);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_entries_up_to_the_end),
        };
        return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
