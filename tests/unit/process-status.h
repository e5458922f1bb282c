/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel says of the calling process in /proc/self/status. For children that a test forks: nothing asserts.
 */
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number after `key`, say "\nCapEff:\t"; UINT64_MAX when it cannot be told. */
static inline uint64_t process_status(const char *key, int base)
{
        char text[4096] = "";

        int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        close(fd);
        const char *line = n > 0 ? strstr(text, key) : NULL;
        return line ? strtoull(line + strlen(key), NULL, base) : UINT64_MAX;
}
