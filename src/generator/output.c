/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/output.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int output_open(const char *path, Output *ret, Err *err)
{
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_set(err, errno, "%s: cannot open it: %m", path);
        *ret = (Output){ .fd = fd, .path = path };
        return 0;
}

static int output_make_folder(const Output *o, const char *folder, Err *err)
{
        if (mkdirat(o->fd, folder, 0755) < 0 && errno != EEXIST)
                return err_set(err, errno, "%s/%s: cannot make it: %m", o->path, folder);
        int fd = openat(o->fd, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_set(err, errno, "%s/%s: cannot open it: %m", o->path, folder) : fd;
}

static int output_fill(int fd, const char *text, size_t len)
{
        while (len > 0) {
                ssize_t n = write(fd, text, len);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        text += n;
                        len -= (size_t)n;
                }
        }
        return 0;
}

int output_write(const Output *o,
                 const char *folder,
                 const char *file,
                 const char *text,
                 size_t len,
                 Err *err)
{
        _cleanup_close_ int parent = output_make_folder(o, folder, err);
        if (parent < 0)
                return parent;
        _cleanup_close_ int fd =
                openat(parent, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        int r = fd < 0 ? -errno : output_fill(fd, text, len);
        return r < 0 ? err_set(err, -r, "%s/%s/%s: cannot write it: %m", o->path, folder, file) : 0;
}

int output_link(const Output *o, const char *folder, const char *name, const char *target, Err *err)
{
        _cleanup_close_ int parent = output_make_folder(o, folder, err);
        if (parent < 0)
                return parent;
        if (symlinkat(target, parent, name) < 0)
                return err_set(err, errno, "%s/%s/%s: cannot make it: %m", o->path, folder, name);
        return 0;
}

void output_done(Output *o)
{
        cleanup_close(&o->fd);
        *o = OUTPUT_NONE;
}
