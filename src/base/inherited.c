/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
        /* More than the kernel lets anybody have. */
        INHERITED_FD_MAX = 1 << 30,
};

int inherited_fill_stdio(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                /* It gets the lowest number that is free, and that is this one. */
                if (open("/dev/null", O_RDWR | O_NOCTTY) < 0)
                        return -errno;
        }
        return 0;
}

static int inherited_close(unsigned first, unsigned last)
{
        if (first > last)
                return 0;
        return syscall(SYS_close_range, first, last, 0U) < 0 ? -errno : 0;
}

/* Whoever is to be kept stands at the end of what is closed. */
static int inherited_close_up_to(int keep, unsigned *first)
{
        if (keep < 0)
                return 0;
        if (fcntl(keep, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        unsigned from = *first;
        *first = (unsigned)keep + 1;
        return inherited_close(from, (unsigned)keep - 1);
}

int inherited_close_rest(int keep, int also)
{
        unsigned first = STDERR_FILENO + 1;

        int r = inherited_close_up_to(keep < also ? keep : also, &first);
        if (r >= 0)
                r = inherited_close_up_to(keep < also ? also : keep, &first);
        return r < 0 ? r : inherited_close(first, ~0U);
}

int inherited_parse_path(const char *path, int *ret)
{
        static const char folder[] = "/dev/fd/";
        char *end = NULL;

        if (strncmp(path, folder, strlen(folder)) != 0)
                return 0;
        path += strlen(folder);
        long fd = strtol(path, &end, 10);
        if (*path < '0' || *path > '9' || *end || fd <= STDERR_FILENO || fd > INHERITED_FD_MAX)
                return -EINVAL;
        *ret = (int)fd;
        return 1;
}
