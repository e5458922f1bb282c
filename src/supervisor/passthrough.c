/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/passthrough.h"

#include "base/cleanup.h"
#include "base/fuse-newer.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether whatever the worker says could be true: a view of the whole disk, of which nothing has to be made before it can be
 * read. */
static bool passthrough_fits_view(const Manager *m)
{
        const Config *c = m->config;

        return !c->snapshot && !c->overlay && !c->partition && !c->partitions && c->offset == 0 &&
               c->size == 0 && !m->unlock.is_given;
}

/* Past the end a view grows only when it is meant to, and the kernel asks nobody. With its file the kernel opens it anew, for
 * what the client asks: that a read-only view cannot be opened for writing is the doing of the mount, and must be ours. */
static bool passthrough_fits_access(const Manager *m, uint32_t layer, int fd)
{
        const Config *c = m->config;
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || m->mount.adopted || geteuid() != 0)
                return false;
        if (c->writable)
                return c->growable && layer == 0 && (flags & O_ACCMODE) == O_RDWR;
        return (flags & O_ACCMODE) == O_RDONLY;
}

/* A view can be opened with O_DIRECT whatever it lies on, and with its file opening it is up to that. */
static bool passthrough_is_direct(int fd)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        _cleanup_close_ int direct = open(path, O_RDONLY | O_DIRECT | O_NOCTTY | O_CLOEXEC);
        return direct >= 0;
}

int passthrough_choose(const Manager *m)
{
        uint32_t layer = m->sealed.plain - 1;
        struct stat st;

        if (m->sealed.plain == 0 || layer >= m->image.count)
                return -1;
        int fd = m->image.layers[layer].fd;
        if (!passthrough_fits_view(m) || !passthrough_fits_access(m, layer, fd))
                return -1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != m->sealed.size)
                return -1;
        return passthrough_is_direct(fd) ? fd : -1;
}

int32_t passthrough_open(const Mount *m, int fd)
{
        FuseNewerBackingMap map = { .fd = fd };

        int id = ioctl(m->fuse_fd, FUSE_NEWER_BACKING_OPEN, &map);
        return id > 0 ? id : 0;
}

void passthrough_close(const Mount *m, int32_t id)
{
        uint32_t number = (uint32_t)id;

        if (id > 0 && m->fuse_fd >= 0)
                (void)ioctl(m->fuse_fd, FUSE_NEWER_BACKING_CLOSE, &number);
}
