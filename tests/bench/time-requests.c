/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Says how many nanoseconds a request takes on average, when one follows the other:
 *
 *     time-requests [-w] FILE STEP ISLANDS COUNT
 *
 * 4 KiB each, with O_DIRECT: where, says islands.h. -w writes; before it reads, it comes to all islands once.
 */
#include "base/cleanup.h"
#include "islands.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t time_now(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool time_request(int fd, void *buf, bool writes, uint64_t off)
{
        ssize_t n = writes ? pwrite(fd, buf, ISLAND_LEN, (off_t)off)
                           : pread(fd, buf, ISLAND_LEN, (off_t)off);

        if (n == ISLAND_LEN)
                return true;
        fprintf(stderr, "%s at %" PRIu64 ": %s\n", writes ? "write" : "read", off,
                n < 0 ? strerror(errno) : "too short");
        return false;
}

static int time_all(int fd, bool writes, const Islands *islands, uint64_t count)
{
        _cleanup_free_ void *buf = NULL;

        if (posix_memalign(&buf, ISLAND_LEN, ISLAND_LEN) != 0)
                return 1;
        memset(buf, 0x5a, ISLAND_LEN);
        for (uint64_t i = 0; !writes && i < islands->count; i++)
                if (!time_request(fd, buf, writes, islands_get_offset(islands, i)))
                        return 1;
        uint64_t began = time_now();
        for (uint64_t i = 0; i < count; i++)
                if (!time_request(fd, buf, writes, islands_get_offset(islands, i)))
                        return 1;
        printf("%" PRIu64 "\n", (time_now() - began) / count);
        return 0;
}

int main(int argc, char **argv)
{
        bool writes = argc > 1 && strcmp(argv[1], "-w") == 0;

        argv += writes;
        if (argc - writes != 5)
                return 2;
        Islands islands = { strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10) };
        uint64_t count = strtoull(argv[4], NULL, 10);
        if (!islands_are_sound(&islands) || count == 0)
                return 2;
        _cleanup_close_ int fd = open(argv[1], (writes ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
        if (fd < 0) {
                perror(argv[1]);
                return 1;
        }
        return time_all(fd, writes, &islands, count);
}
