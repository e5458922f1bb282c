/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev/loop.h"

#include "base/attempt.h"
#include "base/cleanup.h"
#include "base/loop-device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

enum {
        LOOP_ASK_MS = 5000,
};

static int loop_ask(const void *name, int folder, void *result)
{
        char path[32];
        struct loop_info64 info = { 0 };

        snprintf(path, sizeof(path), "/dev/%s", (const char *)name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
                return -errno;
        /* As the kernel packs it, which is not as the C library does. */
        unsigned high = (unsigned)(info.lo_device >> 8) & 0xfff;
        unsigned low = (unsigned)((info.lo_device & 0xff) | (info.lo_device >> 12 & 0xfff00));
        *(dev_t *)result = makedev(high, low);
        return 0;
}

int loop_backing_device(const char *name, dev_t *ret, Err *err)
{
        Attempt a;

        if (!loop_device_is_name(name))
                return err_set(err, EINVAL, "'%s' is no name of a loop device", name);
        int r = attempt_start(loop_ask, name, -1, sizeof(*ret), &a);
        if (r >= 0)
                r = attempt_finish(&a, LOOP_ASK_MS, ret);
        if (r == -ETIMEDOUT)
                return err_set(err, ETIMEDOUT, "/dev/%s: the file below it does not answer", name);
        return r < 0 ? err_set(err, -r, "/dev/%s: %m", name) : 0;
}
