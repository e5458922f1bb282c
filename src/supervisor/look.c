/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/look.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum {
        LOOK_DEAD_MS = 2000,
        LOOK_READ_LEN = 4096,
};

static int look_stat(const void *name, int parent, void *result)
{
        LookResult *look = result;
        struct stat st;

        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        look->size = (uint64_t)st.st_size;
        return 0;
}

static int look_open(int parent, const char *name, int flags)
{
        int fd = openat(parent, name, flags | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Attributes may come from the kernel's memory of them; statfs always asks the server. */
static int look_ask(const void *name, int parent, void *result)
{
        struct statfs fs;

        _cleanup_close_ int fd = look_open(parent, name, O_PATH);
        if (fd < 0)
                return fd;
        return fstatfs(fd, &fs) < 0 ? -errno : 0;
}

int look_is_dead(int parent, const char *name)
{
        Attempt a;

        int r = attempt_start(look_ask, name, parent, 0, &a);
        if (r < 0)
                return r;
        r = attempt_finish(&a, LOOK_DEAD_MS, NULL);
        if (r == -ENOTCONN || r == -ECONNABORTED)
                return 1;
        return r == -EACCES ? 0 : r;
}

/* A view that its own mode or owner keeps us from reading is measured only. */
static int look_first(const void *name, int parent, void *result)
{
        char buf[LOOK_READ_LEN];

        int r = look_stat(name, parent, result);
        if (r < 0)
                return r;
        _cleanup_close_ int fd = look_open(parent, name, O_RDONLY);
        if (fd == -EACCES)
                return 0;
        if (fd < 0)
                return fd;
        return read(fd, buf, sizeof(buf)) < 0 ? -errno : 0;
}

int look_start_first(int parent, const char *name, Attempt *ret)
{
        return attempt_start(look_first, name, parent, sizeof(LookResult), ret);
}

static int look_flush(const void *name, int parent, void *result)
{
        _cleanup_close_ int fd = look_open(parent, name, O_RDONLY);
        if (fd == -EACCES)
                return 0;
        if (fd < 0)
                return fd;
        if (syncfs(fd) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

int look_start_flush(int parent, const char *name, Attempt *ret)
{
        return attempt_start(look_flush, name, parent, 0, ret);
}
