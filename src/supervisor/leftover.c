/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/leftover.h"

#include "base/log.h"
#include "base/mountinfo.h"
#include "supervisor/target.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        LEFTOVER_TRIES = 8,
        LEFTOVER_PAUSE_MS = 250,
};

static bool leftover_stat_folder(const char *path, struct stat *ret)
{
        char folder[PATH_MAX];
        const char *slash = strrchr(path, '/');

        if (!slash || snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path) >=
                              (int)sizeof(folder))
                return false;
        return stat(folder, ret) == 0;
}

/* The mount table has no symbolic links in it, a descriptor may. Only folders are looked at, never a view. */
static bool leftover_is_same_place(const char *path, const char *other)
{
        const char *name = strrchr(path, '/'), *other_name = strrchr(other, '/');
        struct stat folder, other_folder;

        if (!name || !other_name || strcmp(name, other_name) != 0)
                return false;
        return strcmp(path, other) == 0 ||
               (leftover_stat_folder(path, &folder) && leftover_stat_folder(other, &other_folder) &&
                folder.st_dev == other_folder.st_dev && folder.st_ino == other_folder.st_ino);
}

static bool leftover_may_be(const MountEntry *e, const char *mount_point)
{
        uid_t user = 0;

        if (strcmp(e->type, MOUNT_TYPE_VIEW) != 0 || !mount_entry_get_user(e, &user) ||
            user != geteuid())
                return false;
        return !mount_point || leftover_is_same_place(mount_point, e->target);
}

static bool leftover_is_listed(uint64_t id)
{
        _cleanup_mount_table_ MountTable table = { 0 };

        return mount_table_read(&table, NULL) < 0 || mount_table_find(&table, id);
}

/* Opening a target takes away what is dead on it, and refuses what is not. */
static int leftover_end(const MountEntry *e, PathRule rule)
{
        Err err = { "" };

        for (int i = 0; i < LEFTOVER_TRIES; i++) {
                Target t = TARGET_NONE;
                int r = target_open(e->target, rule, &t, &err);

                target_done(&t);
                if (!leftover_is_listed(e->id)) {
                        log_line(LOG_LEVEL_NOTICE, "%s: a dead view of %s was unmounted", e->target,
                                 e->source);
                        return 1;
                }
                if (r != -EBUSY)
                        break;
                poll(NULL, 0, LEFTOVER_PAUSE_MS);
        }
        log_line(LOG_LEVEL_INFO, "%s: is left as it is: %s", e->target, err.text);
        return 0;
}

int leftover_clean(const char *mount_point, PathRule rule)
{
        _cleanup_mount_table_ MountTable table = { 0 };
        Err err = { "" };
        int count = 0;

        if (mount_table_read(&table, &err) < 0) {
                log_line(LOG_LEVEL_WARNING, "cannot look for dead views: %s", err.text);
                return 0;
        }
        for (size_t i = 0; i < table.count; i++)
                if (leftover_may_be(&table.entries[i], mount_point))
                        count += leftover_end(&table.entries[i], rule);
        return count;
}
