/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev/view-name.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

/* clang-format off */
static const char mounts[] =
        "20 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "30 20 0:40 / /run/rawview/web rw shared:3 - fuse.rawview /vm/web.qcow2 rw,user_id=0,group_id=0,default_permissions\n"
        "31 20 0:41 / /home/eve/web rw - fuse.rawview /home/eve/x.qcow2 rw,user_id=1000,group_id=1000\n"
        "32 20 0:42 / /srv/web rw - fuse.rawview /vm/other.qcow2 rw,user_id=0,group_id=0\n"
        "33 20 0:43 / /srv/my\\040disk\\012A=\\134x\"\\303\\251\\342\\200\\256\\377 rw - fuse.rawview /vm/d rw,user_id=0\n"
        "34 20 0:44 / /srv/ten rw - fuse.rawview /vm/ten rw,user_id=01\n"
        "35 20 0:45 / /srv/sshfs rw - fuse.sshfs /vm/ten rw,user_id=0\n"
        "36 20 0:46 / /srv/disk-part12 rw - fuse.rawview /vm/p rw,user_id=0\n"
        "37 20 0:47 / /srv/disk-part rw - fuse.rawview /vm/p rw,user_id=0\n"
        "38 20 0:48 / /srv/none rw - fuse.rawview /vm/p rw\n"
        "39 20 0:49 / /srv/%s rw - fuse.rawview /vm/l rw,user_id=0\n"
        "40 20 0:50 / /srv/%.*s rw - fuse.rawview /vm/l rw,user_id=0\n"
        "41 20 0:40 / /mnt/web rw - fuse.rawview /vm/web.qcow2 rw,user_id=0\n"
        "42 20 0:51 / /srv/sda\\0441:b=@#+_-. rw - fuse.rawview /vm/l rw,user_id=0\n";
/* clang-format on */

static char long_name[VIEW_NAME_MAX + 2];

typedef struct Case {
        const char *path;
        unsigned minor;
        int expected;
        const char *name; /* or part of the sentence */
} Case;

static const Case cases[] = {
        { "/run/rawview/web", 40, 0, "web" },
        { "/mnt/web", 40, 0, "web" },
        { "/run/rawview/web", 41, -ENOENT, "no view of root's" },
        { "/run/rawview/web", 99, -ENOENT, "no view of root's" },
        { "/home/eve/web", 41, -ENOENT, "no view of root's" },
        { "/srv/web", 42, -EEXIST, "'web' is that of '/run/rawview/web'" },
        { "/srv/my disk\nA=\\x\"\303\251\342\200\256\377", 43, 0,
          "my\\x20disk\\x0aA=\\x5cx\\x22\303\251\\xe2\\x80\\xae\\xff" },
        { "/srv/ten", 44, -ENOENT, "" },
        { "/srv/sshfs", 45, -ENOENT, "" },
        { "/srv/disk-part12", 46, -EINVAL, "looks like that of a partition" },
        { "/srv/disk-part", 47, 0, "disk-part" },
        { "/srv/none", 48, -ENOENT, "" },
        { "/srv/sda$1:b=@#+_-.", 51, 0, "sda\\x241:b=@#+_-." },
        { "/", 0, -ENOENT, "" },
        { "", 0, -ENOENT, "" },
        { "/run/rawview/web (deleted)", 40, -ENOENT, "" },
};

static void table_make(MountTable *ret)
{
        static char text[8192];

        memset(long_name, 'l', VIEW_NAME_MAX + 1);
        snprintf(text, sizeof(text), mounts, long_name, VIEW_NAME_MAX, long_name);
        assert_int_equal(mount_table_parse(strdup(text), ret), 0);
        assert_int_equal(ret->count, 14);
}

static void test_names(void **state)
{
        _cleanup_mount_table_ MountTable t = { 0 };

        table_make(&t);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                char name[VIEW_NAME_MAX + 1] = "";
                Err err = { 0 };
                int r = view_name_find(&t, c->path, makedev(0, c->minor), name, &err);
                if (r != c->expected)
                        fail_msg("%s: %d", c->path, r);
                if (r == 0)
                        assert_string_equal(name, c->name);
                else if (!strstr(err.text, c->name))
                        fail_msg("%s: '%s'", c->path, err.text);
        }
}

static void test_length(void **state)
{
        _cleanup_mount_table_ MountTable t = { 0 };
        char name[VIEW_NAME_MAX + 1] = "", path[VIEW_NAME_MAX + 16];
        Err err = { 0 };

        table_make(&t);
        snprintf(path, sizeof(path), "/srv/%s", long_name);
        assert_int_equal(view_name_find(&t, path, makedev(0, 49), name, &err), -EINVAL);
        assert_non_null(strstr(err.text, "too long"));
        path[strlen(path) - 1] = '\0';
        assert_int_equal(view_name_find(&t, path, makedev(0, 50), name, NULL), 0);
        assert_int_equal(strlen(name), VIEW_NAME_MAX);
}

static void test_may_be(void **state)
{
        _cleanup_mount_table_ MountTable t = { 0 };

        table_make(&t);
        assert_true(view_name_may_be(&t, "/run/rawview/web"));
        assert_true(view_name_may_be(&t, "/srv/web"));
        assert_false(view_name_may_be(&t, "/home/eve/web"));
        assert_false(view_name_may_be(&t, "/srv/sshfs"));
        assert_false(view_name_may_be(&t, "/"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_length),
                cmocka_unit_test(test_may_be),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
