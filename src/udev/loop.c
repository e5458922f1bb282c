/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev/loop.h"

#include "base/attempt.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

enum {
        LOOP_NAME_MAX = 16,
        /* No attribute in sysfs is longer than a page. */
        LOOP_ATTRIBUTE_MAX = 65536,
        LOOP_ASK_MS = 5000,
};

static bool loop_name_is_good(const char *name)
{
        size_t len = strlen(name);

        return len > 4 && len < LOOP_NAME_MAX && strncmp(name, "loop", 4) == 0 &&
               strspn(name + 4, "0123456789") == len - 4;
}

int loop_backing_path(const char *folder, const char *name, char **ret, Err *err)
{
        char path[256];

        if (!loop_name_is_good(name))
                return err_set(err, EINVAL, "'%s' is no name of a loop device", name);
        snprintf(path, sizeof(path), "%s/%s/loop/backing_file", folder, name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return err_set(err, errno, "%s: %m", path);
        _cleanup_free_ char *text = calloc(1, LOOP_ATTRIBUTE_MAX);
        if (!text)
                return err_set(err, ENOMEM, "out of memory");
        ssize_t n = read(fd, text, LOOP_ATTRIBUTE_MAX - 1);
        if (n < 0)
                return err_set(err, errno, "%s: %m", path);
        /* The kernel ends the path with a newline; one inside belongs to the name of a file. */
        if (n < 2 || text[n - 1] != '\n' || text[0] != '/')
                return err_set(err, EBADMSG, "%s: no absolute path", path);
        text[n - 1] = '\0';
        *ret = TAKE(text);
        return 0;
}

static int loop_ask(const void *name, int folder, void *result)
{
        char path[LOOP_NAME_MAX + 8];
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

        if (!loop_name_is_good(name))
                return err_set(err, EINVAL, "'%s' is no name of a loop device", name);
        int r = attempt_start(loop_ask, name, -1, sizeof(*ret), &a);
        if (r >= 0)
                r = attempt_finish(&a, LOOP_ASK_MS, ret);
        if (r == -ETIMEDOUT)
                return err_set(err, ETIMEDOUT, "/dev/%s: the file below it does not answer", name);
        return r < 0 ? err_set(err, -r, "/dev/%s: %m", name) : 0;
}
