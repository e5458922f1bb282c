/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int inherited_close_rest(int keep)
{
        const unsigned first = STDERR_FILENO + 1;

        if (keep < 0)
                return inherited_close(first, ~0U);
        if (fcntl(keep, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        int r = inherited_close(first, (unsigned)keep - 1);
        return r < 0 ? r : inherited_close((unsigned)keep + 1, ~0U);
}
