/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/loops.h"

#include "base/cleanup.h"
#include "base/loop-device.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first line, without its end. */
static bool loops_read(const char *folder, const char *name, char *ret, size_t size)
{
        char path[PATH_MAX];

        if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
                return false;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
        if (n < 0)
                return false;
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return true;
}

static void loops_set_user(Loop *l, const char *what, const char *name)
{
        l->in_use = true;
        if (l->user[0])
                return;
        /* What is too long is cut. */
        int n = snprintf(l->user, sizeof(l->user), "%s %s", what, name);
        if (n < 0)
                l->user[0] = '\0';
}

/* By number, and by name: some file systems have a number of their own. */
static void loops_find_mount(Loop *l, const MountTable *table, const char *folder, const char *name)
{
        char numbers[32] = "", source[64];
        unsigned device_major = 0, device_minor = 0;

        bool known = loops_read(folder, "dev", numbers, sizeof(numbers)) &&
                     sscanf(numbers, "%u:%u", &device_major, &device_minor) == 2;
        snprintf(source, sizeof(source), "/dev/%s", name);
        for (size_t i = 0; i < table->count; i++) {
                const MountEntry *e = &table->entries[i];
                if ((known && e->device_major == device_major && e->device_minor == device_minor) ||
                    strcmp(e->source, source) == 0)
                        loops_set_user(l, "mounted at", e->target);
        }
}

static void loops_find_holder(Loop *l, const char *folder)
{
        char path[PATH_MAX];
        struct dirent *e;

        if (snprintf(path, sizeof(path), "%s/holders", folder) >= (int)sizeof(path))
                return;
        _cleanup_dir_ DIR *holders = opendir(path);
        while (holders && (e = readdir(holders)))
                if (e->d_name[0] != '.')
                        loops_set_user(l, "used by", e->d_name);
}

/* The device itself or one of its partitions. */
static void loops_look_at(Loop *l, const MountTable *table, const char *folder, const char *name)
{
        loops_find_mount(l, table, folder, name);
        loops_find_holder(l, folder);
}

static void loops_find_users(Loop *l, const MountTable *table, const char *folder)
{
        char path[PATH_MAX];
        struct dirent *e;
        size_t len = strlen(l->name);

        loops_look_at(l, table, folder, l->name);
        _cleanup_dir_ DIR *parts = opendir(folder);
        while (parts && (e = readdir(parts)))
                if (strncmp(e->d_name, l->name, len) == 0 && e->d_name[len] == 'p' &&
                    snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) < (int)sizeof(path))
                        loops_look_at(l, table, path, e->d_name);
}

void loops_find(const char *sys, const MountTable *table, const char *path, Loops *ret)
{
        _cleanup_dir_ DIR *devices = opendir(sys);
        char folder[PATH_MAX];
        struct dirent *e;

        *ret = (Loops){ .count = 0 };
        while (devices && ret->count < LOOPS_MAX && (e = readdir(devices))) {
                _cleanup_free_ char *backing = NULL;
                Loop l = { .in_use = false };

                if (loop_device_read_path(sys, e->d_name, &backing, NULL) < 0 ||
                    strcmp(backing, path) != 0)
                        continue;
                snprintf(folder, sizeof(folder), "%s/%s", sys, e->d_name);
                snprintf(l.name, sizeof(l.name), "%.*s", (int)sizeof(l.name) - 1, e->d_name);
                loops_find_users(&l, table, folder);
                ret->list[ret->count++] = l;
        }
}
