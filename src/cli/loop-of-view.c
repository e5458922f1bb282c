/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/loop-of-view.h"

#include "base/cleanup.h"
#include "base/loop-device.h"
#include "base/loops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

/* What the process is called that has it open. */
#define LOOP_HOLDER_NAME "rawview-loop\n"

static bool loop_read(const char *path, char *ret, size_t size)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

        if (n < 0)
                return false;
        ret[n] = '\0';
        return true;
}

/* By its path alone: asking the device would ask the view. */
static bool loop_is_over(const char *name, const char *path)
{
        _cleanup_free_ char *backing = NULL;

        return loop_device_read_path("/sys/block", name, &backing, NULL) >= 0 &&
               strcmp(backing, path) == 0;
}

/* The service's process has locked the node, and the kernel tells who that is. One of anybody else's is left alone. */
static pid_t loop_find_holder(int node)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        char path[64], name[32];
        struct stat st;

        if (fcntl(node, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0)
                return 0;
        snprintf(path, sizeof(path), "/proc/%d/comm", (int)lock.l_pid);
        if (stat(path, &st) < 0 || st.st_uid != 0 || !loop_read(path, name, sizeof(name)) ||
            strcmp(name, LOOP_HOLDER_NAME) != 0)
                return 0;
        return lock.l_pid;
}

/* A file system or another device on it, or on one of its partitions, has it for itself. */
static bool loop_is_used(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
        return fd < 0 && errno == EBUSY;
}

/* With what is mounted where, as far as this mount namespace sees it. */
static int loop_refuse(const MountEntry *view, const char *name, Err *err)
{
        _cleanup_mount_table_ MountTable table = { 0 };
        Loops loops = { .count = 0 };

        if (mount_table_read(&table, NULL) >= 0)
                loops_find("/sys/block", &table, view->target, &loops);
        for (size_t i = 0; i < loops.count; i++)
                if (strcmp(loops.list[i].name, name) == 0 && loops.list[i].in_use)
                        return err_set(err, EBUSY,
                                       "the view is in use: its loop device /dev/%s is %s", name,
                                       loops.list[i].user);
        return err_set(
                err, EBUSY,
                "the view is in use: something is mounted from its loop device /dev/%s, or has "
                "it for itself",
                name);
}

static int loop_release(const MountEntry *view, const char *name, int limit_ms, Err *err)
{
        char path[300];

        snprintf(path, sizeof(path), "/dev/%s", name);
        _cleanup_close_ int node = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        pid_t pid = node < 0 ? 0 : loop_find_holder(node);
        _cleanup_close_ int holder = pid > 0 ? pidfd_open(pid, 0) : -1;
        /* It is still the same process. */
        if (holder < 0 || loop_find_holder(node) != pid)
                return 0;
        if (loop_is_used(path))
                return loop_refuse(view, name, err);
        cleanup_close(&node);
        node = -1;
        if (pidfd_send_signal(holder, SIGTERM, NULL, 0) < 0)
                return err_set(err, errno, "cannot end its loop device %s: %m", path);
        struct pollfd p = { .fd = holder, .events = POLLIN };
        if (poll(&p, 1, limit_ms) <= 0)
                return err_set(err, ETIMEDOUT, "its loop device %s does not end", path);
        return 1;
}

int loop_of_view_release(const MountEntry *view, int limit_ms, Err *err)
{
        _cleanup_dir_ DIR *devices = opendir("/sys/block");
        struct dirent *e;
        int found = 0;

        while (devices && (e = readdir(devices))) {
                if (!loop_is_over(e->d_name, view->target))
                        continue;
                int r = loop_release(view, e->d_name, limit_ms, err);
                if (r < 0)
                        return r;
                found |= r;
        }
        return found;
}
