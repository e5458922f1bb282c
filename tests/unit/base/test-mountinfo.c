/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/mountinfo.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct Case {
        const char *title, *line;
        bool good;
        MountEntry expected;
} Case;

static const Case cases[] = {
        { "plain",
          "22 27 0:21 / /proc rw,relatime - proc proc rw",
          true,
          { 22, 27, 0, 21, "/", "/proc", "rw,relatime", "proc", "proc", "rw" } },
        { "optional fields",
          "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue",
          true,
          { 36, 35, 98, 0, "/mnt1", "/mnt2", "rw,noatime", "ext3", "/dev/root",
            "rw,errors=continue" } },
        { "a view with blanks and a backslash in its names",
          "90 27 0:52 / /vm/my\\040disk\\011x ro,nosuid - fuse.rawview /vm/a\\134b\\012c "
          "ro,user_id=0",
          true,
          { 90, 27, 0, 52, "/", "/vm/my disk\tx", "ro,nosuid", "fuse.rawview", "/vm/a\\b\nc",
            "ro,user_id=0" } },
        { "a source that is empty",
          "90 27 0:52 / /x rw - fuse  rw",
          true,
          { 90, 27, 0, 52, "/", "/x", "rw", "fuse", "", "rw" } },
        { "no escape at all",
          "1 2 0:3 / /a\\9b\\04 rw - t s o",
          true,
          { 1, 2, 0, 3, "/", "/a\\9b\\04", "rw", "t", "s", "o" } },
        { "cut behind the target", "22 27 0:21 / /proc", false, { 0 } },
        { "cut behind the type", "22 27 0:21 / /proc rw - proc", false, { 0 } },
        { "no dash", "22 27 0:21 / /proc rw proc proc rw", false, { 0 } },
        { "no numbers", "a b c:d / /proc rw - proc proc rw", false, { 0 } },
        { "empty", "", false, { 0 } },
};

static void run_case(const Case *c)
{
        _cleanup_mount_table_ MountTable t = { 0 };

        assert_int_equal(mount_table_parse(strdup(c->line), &t), 0);
        if (t.count != (c->good ? 1 : 0))
                fail_msg("%s: %zu entries", c->title, t.count);
        if (!c->good)
                return;
        const MountEntry *e = &t.entries[0], *x = &c->expected;
        if (e->id != x->id || e->parent != x->parent || e->device_major != x->device_major ||
            e->device_minor != x->device_minor)
                fail_msg("%s: numbers differ", c->title);
        assert_string_equal(e->root, x->root);
        assert_string_equal(e->target, x->target);
        assert_string_equal(e->options, x->options);
        assert_string_equal(e->type, x->type);
        assert_string_equal(e->source, x->source);
        assert_string_equal(e->super_options, x->super_options);
}

static void test_lines(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                run_case(&cases[i]);
}

static void test_find_by_id(void **state)
{
        _cleanup_mount_table_ MountTable t = { 0 };
        const char *text = "1 0 0:1 / / rw - a s o\nnonsense\n7 1 0:2 / /x rw - b s o\n";

        assert_int_equal(mount_table_parse(strdup(text), &t), 0);
        assert_int_equal(t.count, 2);
        assert_string_equal(mount_table_find(&t, 7)->target, "/x");
        assert_null(mount_table_find(&t, 2));
}

static void test_options(void **state)
{
        const char *value = "unset";

        assert_true(mount_options_have("rw,user_id=10,allow_other", "user_id", &value));
        assert_int_equal(strncmp(value, "10,", 3), 0);
        assert_true(mount_options_have("rw,user_id=10,allow_other", "allow_other", &value));
        assert_null(value);
        assert_true(mount_options_have("ro", "ro", NULL));
        assert_false(mount_options_have("rootmode=1,errors", "ro", NULL));
        assert_false(mount_options_have("", "ro", NULL));
}

static void test_whose_a_fuse_mount_is(void **state)
{
        static const struct {
                const char *type, *options;
                bool known;
                uid_t user;
        } cases_of_users[] = {
                { "fuse.rawview", "rw,user_id=0,group_id=0", true, 0 },
                { "fuse.sshfs", "rw,user_id=1000", true, 1000 },
                { "fuseblk", "user_id=4294967294,rw", true, 4294967294U },
                { "fuse", "rw,group_id=0", false, 0 },
                { "fuse", "rw,user_id", false, 0 },
                { "fuse", "rw,user_id=,rw", false, 0 },
                { "fuse", "rw,user_id=0x,rw", false, 0 },
                { "fuse", "rw,my_user_id=0", false, 0 },
                { "ext4", "rw,user_id=0", false, 0 },
        };

        for (size_t i = 0; i < sizeof(cases_of_users) / sizeof(cases_of_users[0]); i++) {
                MountEntry e = { .type = cases_of_users[i].type,
                                 .super_options = cases_of_users[i].options };
                uid_t user = 77;

                assert_int_equal(mount_entry_get_user(&e, &user), cases_of_users[i].known);
                assert_int_equal(user, cases_of_users[i].known ? cases_of_users[i].user : 77);
        }
}

static void test_of_this_machine(void **state)
{
        _cleanup_mount_table_ MountTable t = { 0 };
        _cleanup_close_ int fd = open("/proc/self", O_PATH | O_CLOEXEC);
        uint64_t id = 0;

        assert_true(fd >= 0);
        assert_int_equal(mount_table_read(&t, NULL), 0);
        assert_int_equal(mount_id_of_fd(fd, &id), 0);
        const MountEntry *e = mount_table_find(&t, id);
        assert_non_null(e);
        assert_string_equal(e->type, "proc");
        assert_int_equal(mount_id_of_fd(9999, &id), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_find_by_id),
                cmocka_unit_test(test_options),
                cmocka_unit_test(test_whose_a_fuse_mount_is),
                cmocka_unit_test(test_of_this_machine),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
