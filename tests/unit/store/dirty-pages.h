/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a file the kernel has not sent to the disk yet. For the tests of the store, on the main thread. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/* How many pages of [pos, pos + len). cachestat(2) is younger than the C library; 0 where it is missing. */
static inline uint64_t dirty_pages(int fd, uint64_t pos, uint64_t len)
{
        enum { CALL_CACHESTAT = 451 };
        struct {
                uint64_t pos, len;
        } range = { pos, len };
        struct {
                uint64_t cached, dirty, writing, evicted, evicted_lately;
        } pages = { 0 };

        return syscall(CALL_CACHESTAT, fd, &range, &pages, 0) < 0 ? 0 : pages.dirty;
}

/* Waits for it, at most four seconds: the kernel itself sends nothing before five. */
static inline bool becomes_clean(int fd, uint64_t pos, uint64_t len)
{
        for (int i = 0; i < 400 && dirty_pages(fd, pos, len) > 0; i++)
                poll(NULL, 0, 10);
        return dirty_pages(fd, pos, len) == 0;
}
