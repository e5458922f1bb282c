/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/adopt.h"

#include "base/cleanup.h"
#include "base/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
        /* Of /dev/fuse, Documentation/admin-guide/devices.txt. */
        ADOPT_FUSE_MAJOR = 10,
        ADOPT_FUSE_MINOR = 229,
        ADOPT_FDINFO_MAX = 1024,
};

/* The kernel has queued FUSE_INIT before mount(2) returned, and goes on when it was answered. */
static int adopt_check(int fd, Err *err)
{
        struct stat st;
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "%m");
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(ADOPT_FUSE_MAJOR, ADOPT_FUSE_MINOR))
                return err_set(err, ENOTTY, "is not an open /dev/fuse");
        if (poll(&p, 1, 0) < 0)
                return err_set(err, errno, "%m");
        if (p.revents & POLLERR)
                return err_set(err, ENOTCONN, "nothing is mounted with this /dev/fuse");
        if (!(p.revents & POLLIN))
                return err_set(err, EBUSY, "this /dev/fuse is being served already");
        /* Threads are to wait there. */
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
                return err_set(err, errno, "cannot change the flags of this /dev/fuse: %m");
        return 0;
}

unsigned adopt_find_device(const char *text)
{
        static const char key[] = "fuse_connection:";
        const char *line = text;

        for (; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, strlen(key)) != 0)
                        continue;
                unsigned long number = strtoul(line + strlen(key), NULL, 10);
                return number < UINT_MAX ? (unsigned)number : 0;
        }
        return 0;
}

static unsigned adopt_ask_device(int fd)
{
        char path[64], text[ADOPT_FDINFO_MAX];

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        _cleanup_close_ int info = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
        text[n < 0 ? 0 : n] = '\0';
        return adopt_find_device(text);
}

static const MountEntry *adopt_find_mount(const MountTable *table, unsigned device_minor)
{
        for (size_t i = table->count; device_minor != 0 && i-- > 0;) {
                const MountEntry *e = &table->entries[i];
                if (e->device_major == 0 && e->device_minor == device_minor &&
                    strncmp(e->type, "fuse", 4) == 0)
                        return e;
        }
        return NULL;
}

/* Asks the kernel alone: nobody answers for this file system yet. */
static int adopt_check_type(int fd, Err *err)
{
        struct statx st;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 ||
            S_ISREG(st.stx_mode))
                return 0;
        return err_set(err, EISDIR,
                       "is mounted as a folder, and a view is a regular file "
                       "(rootmode=100000)");
}

/* The folder that the mount lies in, from which the view can be looked at. Without it we can live. */
static int adopt_hold(const MountEntry *e, Target *t, Err *err)
{
        uint64_t id = 0;

        t->name = strrchr(t->path, '/') + 1;
        _cleanup_free_ char *folder = strndup(t->path, (size_t)(t->name - t->path));
        if (!folder)
                return err_set(err, ENOMEM, "%m");
        _cleanup_close_ int parent = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int view =
                parent < 0 ? -1 : openat(parent, t->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (view < 0 || mount_id_of_fd(view, &id) < 0 || id != e->id)
                return 0;
        t->parent = fd_take(&parent);
        return adopt_check_type(view, err);
}

static int adopt_look_up(int fd, Target *t, Mount *m, Err *err)
{
        _cleanup_mount_table_ MountTable table = { 0 };

        int r = mount_table_read(&table, err);
        if (r < 0)
                return r;
        const MountEntry *e = adopt_find_mount(&table, adopt_ask_device(fd));
        int n = e ? asprintf(&t->path, "%s", e->target) : asprintf(&t->path, "/dev/fd/%d", fd);
        if (n < 0) {
                t->path = NULL;
                return err_set(err, ENOMEM, "%m");
        }
        if (!e)
                return 0;
        m->device_major = e->device_major;
        m->device_minor = e->device_minor;
        m->allow_other = mount_options_have(e->super_options, "allow_other", NULL);
        if (m->allow_other && !mount_options_have(e->super_options, "default_permissions", NULL))
                return err_set(err, EPERM,
                               "is mounted with allow_other and without default_permissions: "
                               "everybody could use it, whatever its owner and mode");
        return adopt_hold(e, t, err);
}

int adopt_connection(int fd, Target *ret_target, Mount *ret_mount, Err *err)
{
        Target t = TARGET_NONE;
        Mount m = MOUNT_NONE;

        int r = adopt_check(fd, err);
        if (r >= 0)
                r = adopt_look_up(fd, &t, &m, err);
        if (r < 0) {
                target_done(&t);
                return r;
        }
        m.fuse_fd = fd;
        m.adopted = true;
        *ret_target = t;
        *ret_mount = m;
        return 0;
}
