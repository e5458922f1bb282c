/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/loops.h"

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

static const char mounts[] = "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                             "31 30 7:3 / /mnt/a rw - ext4 /dev/loop3 rw\n"
                             "32 30 259:2 / /mnt/part rw - ext4 /dev/disk rw\n"
                             "33 30 0:50 / /mnt/many rw - btrfs /dev/loop6 rw\n"
                             "34 30 7:8 / /mnt/other rw - ext4 /dev/loop8 rw\n";

static char root[] = "/tmp/rawview-loops-XXXXXX";

/* `path` below the folder; its folders are made. NULL as text: a folder. */
static void sys_make(const char *path, const char *text)
{
        char full[256];

        snprintf(full, sizeof(full), "%s/%s", root, path);
        for (char *p = full + sizeof(root); *p; p++)
                if (*p == '/') {
                        *p = '\0';
                        mkdir(full, 0700);
                        *p = '/';
                }
        if (!text) {
                assert_int_equal(mkdir(full, 0700), 0);
                return;
        }
        FILE *f = fopen(full, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static const Loop *loops_get(const Loops *l, const char *name)
{
        for (size_t i = 0; i < l->count; i++)
                if (strcmp(l->list[i].name, name) == 0)
                        return &l->list[i];
        fail_msg("%s was not found", name);
        return NULL;
}

static void test_devices_over_the_view_and_their_users(void **state)
{
        static const struct {
                const char *name, *user;
        } expected[] = {
                { "loop3", "mounted at /mnt/a" },    { "loop4", "" },
                { "loop5", "mounted at /mnt/part" }, { "loop6", "mounted at /mnt/many" },
                { "loop7", "used by dm-0" },
        };
        static const char *const files[][2] = {
                { "loop3/loop/backing_file", "/run/rawview/web\n" },
                { "loop3/dev", "7:3\n" },
                { "loop4/loop/backing_file", "/run/rawview/web\n" },
                { "loop4/dev", "7:4\n" },
                { "loop5/loop/backing_file", "/run/rawview/web\n" },
                { "loop5/dev", "7:5\n" },
                { "loop5/loop5p1/dev", "259:1\n" },
                { "loop5/loop5p2/dev", "259:2\n" },
                { "loop6/loop/backing_file", "/run/rawview/web\n" },
                { "loop7/loop/backing_file", "/run/rawview/web\n" },
                { "loop7/holders/dm-0", NULL },
                { "loop8/loop/backing_file", "/run/rawview/web2\n" },
                { "loop8/dev", "7:8\n" },
                { "loop9/dev", "7:9\n" },
                { "sda/loop/backing_file", "/run/rawview/web\n" },
                /* A newline inside belongs to the name. */
                { "loop10/loop/backing_file", "/run/rawview/web\nsite\n" },
        };
        char *text = strdup(mounts), command[64];
        MountTable table;
        Loops loops;

        assert_non_null(mkdtemp(root));
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
                sys_make(files[i][0], files[i][1]);
        assert_int_equal(mount_table_parse(text, &table), 0);
        loops_find(root, &table, "/run/rawview/web", &loops);
        assert_int_equal(loops.count, sizeof(expected) / sizeof(expected[0]));
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
                const Loop *l = loops_get(&loops, expected[i].name);
                assert_string_equal(l->user, expected[i].user);
                assert_int_equal(l->in_use, expected[i].user[0] != '\0');
        }
        loops_find(root, &table, "/run/rawview/web\nsite", &loops);
        assert_int_equal(loops.count, 1);
        assert_string_equal(loops.list[0].name, "loop10");
        loops_find("/tmp/rawview-no-such-folder", &table, "/run/rawview/web", &loops);
        assert_int_equal(loops.count, 0);
        mount_table_done(&table);
        snprintf(command, sizeof(command), "rm -r %s", root);
        assert_int_equal(system(command), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_devices_over_the_view_and_their_users),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
