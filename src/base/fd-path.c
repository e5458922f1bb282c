/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fd-path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int fd_path(int fd, char **ret, Err *err)
{
        char link[64], path[PATH_MAX];

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path));
        if (n < 0)
                return err_set(err, errno, "cannot read %s: %m", link);
        if (n == sizeof(path) || path[0] != '/')
                return err_set(err, ENAMETOOLONG, "%s has no path of a usable length", link);
        path[n] = '\0';
        char *copy = strdup(path);
        if (!copy)
                return err_set(err, ENOMEM, "%m");
        *ret = copy;
        return 0;
}
