/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is found in the mount table, and what is not; that dead views go and others stay is for real mounts: system test
 * `watchdog`. */
#include "supervisor/leftover.h"

#include "base/mountinfo.h"
#include "supervisor/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* In the place of the mount table and of what takes a dead view away. */
static const char *mounts;
static char opened[512];
static unsigned answers; /* so often a view is still served; then it is dead, and gone */

int __wrap_mount_table_read(MountTable *ret, Err *err);
int __wrap_target_open(const char *path, PathRule rule, Target *ret, Err *err);

/* "@" stands for our own user. */
int __wrap_mount_table_read(MountTable *ret, Err *err)
{
        char user[16], *text = calloc(1, 4096);

        snprintf(user, sizeof(user), "%u", (unsigned)geteuid());
        for (const char *p = mounts; *p; p++) {
                size_t len = strlen(text);
                if (*p == '@')
                        memcpy(text + len, user, strlen(user));
                else
                        text[len] = *p;
        }
        return mount_table_parse(text, ret);
}

int __wrap_target_open(const char *path, PathRule rule, Target *ret, Err *err)
{
        snprintf(opened + strlen(opened), sizeof(opened) - strlen(opened), "%s ", path);
        if (answers-- > 0)
                return err_set(err, EBUSY, "is covered already by a view");
        mounts = "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        return err_set(err, ENOENT, "the file beneath is no matter here");
}

static void test_which_are_meant(void **state)
{
        static const char table[] = "1 1 8:1 / / rw - ext4 /dev/sda1 rw,user_id=@\n"
                                    "2 1 0:50 / /tmp/web rw - fuse.rawview /vm/web rw,user_id=@\n"
                                    "3 1 0:51 / /tmp/other rw - fuse.rawview /vm/o rw,user_id=@\n"
                                    "4 1 0:52 / /tmp/web rw - fuse.other /vm/web rw,user_id=@\n"
                                    "5 1 0:53 / /tmp/web rw - fuse.rawview /vm/w rw,user_id=4242\n"
                                    "6 1 0:54 / /tmp/web rw - fuse.rawview /vm/w rw\n";
        static const struct {
                const char *mount_point, *opened;
                int count;
        } cases[] = {
                { "/tmp/web", "/tmp/web ", 1 },
                { "/tmp/../tmp/web", "/tmp/web ", 1 },
                { "/tmp/nothing", "", 0 },
                { "/usr/web", "", 0 },
                /* The first that goes takes the whole table with it. */
                { NULL, "/tmp/web /tmp/other ", 2 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                mounts = table;
                opened[0] = '\0';
                answers = 0;
                assert_int_equal(leftover_clean(cases[i].mount_point, PATH_RULE_KERNEL),
                                 cases[i].count);
                assert_string_equal(opened, cases[i].opened);
                answers = 0;
        }
}

static void test_one_that_is_served_stays_and_one_that_ends_is_waited_for(void **state)
{
        static const char table[] = "2 1 0:50 / /tmp/web rw - fuse.rawview /vm/web rw,user_id=@\n"
                                    "3 1 0:51 / /tmp/o rw - ext4 /dev/sdb rw\n";

        mounts = table;
        opened[0] = '\0';
        answers = 1000;
        assert_int_equal(leftover_clean("/tmp/web", PATH_RULE_KERNEL), 0);
        assert_ptr_equal(mounts, table);
        answers = 2;
        assert_int_equal(leftover_clean("/tmp/web", PATH_RULE_KERNEL), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_which_are_meant),
                cmocka_unit_test(test_one_that_is_served_stays_and_one_that_ends_is_waited_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
