/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/loop-device.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        LOOP_DEVICE_NAME_MAX = 16,
        /* No attribute in sysfs is longer than a page. */
        LOOP_DEVICE_ATTRIBUTE_MAX = 65536,
};

bool loop_device_is_name(const char *name)
{
        size_t len = strlen(name);

        return len > 4 && len < LOOP_DEVICE_NAME_MAX && strncmp(name, "loop", 4) == 0 &&
               strspn(name + 4, "0123456789") == len - 4;
}

int loop_device_read_path(const char *folder, const char *name, char **ret, Err *err)
{
        char path[256];

        if (!loop_device_is_name(name))
                return err_set(err, EINVAL, "'%s' is no name of a loop device", name);
        snprintf(path, sizeof(path), "%s/%s/loop/backing_file", folder, name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return err_set(err, errno, "%s: %m", path);
        _cleanup_free_ char *text = calloc(1, LOOP_DEVICE_ATTRIBUTE_MAX);
        if (!text)
                return err_set(err, ENOMEM, "out of memory");
        ssize_t n = read(fd, text, LOOP_DEVICE_ATTRIBUTE_MAX - 1);
        if (n < 0)
                return err_set(err, errno, "%s: %m", path);
        /* The kernel ends the path with a newline; one inside belongs to the name of a file. */
        if (n < 2 || text[n - 1] != '\n' || text[0] != '/')
                return err_set(err, EBADMSG, "%s: no absolute path", path);
        text[n - 1] = '\0';
        *ret = TAKE(text);
        return 0;
}
