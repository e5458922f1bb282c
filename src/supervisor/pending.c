/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/pending.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
        PENDING_INTERVAL_MS = 5,
        PENDING_STATUS_MAX = 8192,
};

/* A set of signals from a line of /proc/PID/status; 0 when there is no such line. */
static uint64_t pending_find_set(const char *status, const char *name)
{
        const char *line = strstr(status, name);
        uint64_t set = 0;

        return line && sscanf(line + strlen(name), "%" SCNx64, &set) == 1 ? set : 0;
}

/* 1: it waits still. */
static int pending_look(pid_t pid, int signo)
{
        char path[64], status[PENDING_STATUS_MAX];

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        ssize_t n = read(fd, status, sizeof(status) - 1);
        if (n < 0)
                return -errno;
        status[n] = '\0';
        uint64_t set =
                pending_find_set(status, "\nShdPnd:") | pending_find_set(status, "\nSigPnd:");
        return set >> (signo - 1) & 1;
}

int pending_wait(pid_t pid, int signo, int limit_ms, Err *err)
{
        int r;

        for (int waited = 0; (r = pending_look(pid, signo)) > 0; waited += PENDING_INTERVAL_MS) {
                if (waited >= limit_ms)
                        return err_set(err, ETIMEDOUT, "process %d does not take signal %d",
                                       (int)pid, signo);
                poll(NULL, 0, PENDING_INTERVAL_MS);
        }
        return r < 0 ? err_set(err, -r, "cannot look at process %d: %m", (int)pid) : 0;
}
