/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/output.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/test-output.XXXXXX";

static int root_setup(void **state)
{
        umask(022);
        return mkdtemp(root) && chdir(root) == 0 ? 0 : -1;
}

static int root_teardown(void **state)
{
        return unlink("a.d/x.conf") < 0 || unlink("a.d/y.conf") < 0 || unlink("w/b") < 0 ||
                               rmdir("a.d") < 0 || rmdir("w") < 0 || unlink("link") < 0 ||
                               rmdir(root) < 0
                       ? -1
                       : 0;
}

static void test_files_and_links(void **state)
{
        _cleanup_output_ Output o = OUTPUT_NONE;
        char text[64] = "";
        struct stat st;

        assert_int_equal(output_open(root, &o, NULL), 0);
        assert_int_equal(output_write(&o, "a.d", "x.conf", "text", 4, NULL), 0);
        assert_int_equal(output_write(&o, "a.d", "y.conf", "", 0, NULL), 0);
        assert_int_equal(output_link(&o, "w", "b", "/lib/b@.service", NULL), 0);
        assert_int_equal(stat("a.d/x.conf", &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0644);
        assert_int_equal(st.st_size, 4);
        assert_int_equal(readlink("w/b", text, sizeof(text)), 15);
        assert_string_equal(text, "/lib/b@.service");
}

static void test_what_is_there_stays(void **state)
{
        _cleanup_output_ Output o = OUTPUT_NONE;
        Err err = { "" };

        assert_int_equal(output_open(root, &o, NULL), 0);
        assert_int_equal(output_write(&o, "a.d", "x.conf", "other", 5, &err), -EEXIST);
        assert_non_null(strstr(err.text, "/a.d/x.conf: cannot write it: File exists"));
        assert_int_equal(output_link(&o, "w", "b", "/other", &err), -EEXIST);
        assert_int_equal(symlink("/tmp", "link"), 0);
        assert_int_equal(output_write(&o, "link", "x", "", 0, &err), -ENOTDIR);
        assert_non_null(strstr(err.text, "/link: cannot open it"));
        assert_int_equal(output_write(&o, "a.d/x.conf", "x", "", 0, &err), -ENOTDIR);
}

static void test_no_folder(void **state)
{
        _cleanup_output_ Output o = OUTPUT_NONE;
        Err err = { "" };

        assert_int_equal(output_open("/no/such/folder", &o, &err), -ENOENT);
        assert_string_equal(err.text, "/no/such/folder: cannot open it: No such file or directory");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files_and_links),
                cmocka_unit_test(test_what_is_there_stays),
                cmocka_unit_test(test_no_folder),
        };
        return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
