/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/look.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
        LOOK_DEAD_MS = 2000,
        LOOK_READ_LEN = 4096,
        LOOK_PID_DIGITS = 9,
        LOOK_EXEMPTED_TRIES = 1000,
        LOOK_EXEMPTED_MS = 10,
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

/* The file that is looked at: the view itself, or the disk in it where it is a folder. A regular file has no names in it, and says
 * so without its server. */
static int look_open_file(int parent, const char *name, int flags)
{
        _cleanup_close_ int view = look_open(parent, name, O_PATH);
        if (view < 0)
                return view;
        int fd = look_open(view, "disk", flags);
        return fd == -ENOTDIR ? look_open(parent, name, flags) : fd;
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

/* A view that its own mode or owner keeps us from reading is measured only. One whose image is damaged where it begins is a
 * view all the same: the rest of it is what somebody wants. */
static int look_first(const void *name, int parent, void *result)
{
        char buf[LOOK_READ_LEN];

        int r = look_stat(name, parent, result);
        if (r < 0)
                return r;
        _cleanup_close_ int fd = look_open_file(parent, name, O_RDONLY);
        if (fd == -EACCES)
                return 0;
        if (fd < 0)
                return fd;
        return read(fd, buf, sizeof(buf)) < 0 && errno != EIO ? -errno : 0;
}

int look_start_first(int parent, const char *name, Attempt *ret)
{
        return attempt_start(look_first, name, parent, sizeof(LookResult), ret);
}

/* Who may not open it has its answer already. An open file of our own would be counted, so it comes last. */
static int look_read_direct(int parent, const char *name, LookAnswer *answer)
{
        _Alignas(LOOK_READ_LEN) char buf[LOOK_READ_LEN];

        _cleanup_close_ int fd = look_open_file(parent, name, O_RDONLY | O_DIRECT);
        if (fd < 0)
                return fd == -ENOTCONN || fd == -ECONNABORTED ? fd : 0;
        if (read(fd, buf, sizeof(buf)) >= 0)
                return 0;
        answer->unreadable = true;
        return errno == ENOTCONN || errno == ECONNABORTED ? -errno : 0;
}

static int look_ask_all(int parent, const char *name, LookDepth depth, LookAnswer *answer)
{
        char link[32];
        struct statfs fs;

        _cleanup_close_ int fd = look_open(parent, name, O_PATH);
        if (fd < 0)
                return fd;
        if (fstatfs(fd, &fs) < 0)
                return errno == ENOTCONN || errno == ECONNABORTED ? -errno : 0;
        /* Somebody has unmounted it, and this is what lies beneath. */
        if (fs.f_type != FUSE_SUPER_MAGIC)
                return -ENOTCONN;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = getxattr(link, "user.rawview.use", answer->use, sizeof(answer->use) - 1);
        answer->use[n > 0 ? n : 0] = '\0';
        return depth == LOOK_READ ? look_read_direct(parent, name, answer) : 0;
}

static int look_without_reading(const void *name, int parent, void *result)
{
        return look_ask_all(parent, name, LOOK_ASK, result);
}

static int look_with_reading(const void *name, int parent, void *result)
{
        return look_ask_all(parent, name, LOOK_READ, result);
}

int look_start(int parent, const char *name, LookDepth depth, Attempt *ret)
{
        return attempt_start(depth == LOOK_READ ? look_with_reading : look_without_reading, name,
                             parent, sizeof(LookAnswer), ret);
}

int look_parse_use(const char *text, LookUse *ret)
{
        LookUse use = { 0 };
        int at = 0;

        if (sscanf(text, "readers=%" SCNu64 " writers=%" SCNu64 " errors=%" SCNu64 " pids=%n",
                   &use.readers, &use.writers, &use.errors, &at) != 3 ||
            at == 0)
                return -EBADMSG;
        for (const char *p = text + at; *p && use.pid_count < LOOK_PIDS_MAX;) {
                size_t len = strspn(p, "0123456789");
                if (len == 0 || len > LOOK_PID_DIGITS || (p[len] && p[len] != ','))
                        return -EBADMSG;
                use.pids[use.pid_count++] = (pid_t)strtol(p, NULL, 10);
                p += len + (p[len] == ',');
        }
        *ret = use;
        return 0;
}

static int look_sync(const void *nothing, int folder, void *result)
{
        sync();
        return 0;
}

int look_start_sync(Attempt *ret)
{
        return attempt_start(look_sync, NULL, -1, 0, ret);
}

/* The worker hears that we may open the view by another way than it hears of our opening. */
static int look_open_exempted(int parent, const char *name)
{
        for (int i = 0;; i++) {
                int fd = look_open_file(parent, name, O_RDONLY);
                if (fd != -ESHUTDOWN || i == LOOK_EXEMPTED_TRIES)
                        return fd;
                poll(NULL, 0, LOOK_EXEMPTED_MS);
        }
}

static int look_flush(const void *name, int parent, void *result)
{
        _cleanup_close_ int fd = look_open_exempted(parent, name);
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
