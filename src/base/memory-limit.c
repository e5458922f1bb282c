/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/memory-limit.h"

#include <errno.h>
#include <sys/resource.h>

int memory_limit_raise(uint64_t len, MemoryLimit *ret)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_AS, &limit) < 0)
                return -errno;
        *ret = (MemoryLimit){ .soft = limit.rlim_cur };
        if (limit.rlim_cur == RLIM_INFINITY)
                return 0;
        limit.rlim_cur =
                len < limit.rlim_max - limit.rlim_cur ? limit.rlim_cur + len : limit.rlim_max;
        return setrlimit(RLIMIT_AS, &limit) < 0 ? -errno : 0;
}

void memory_limit_restore(const MemoryLimit *before)
{
        struct rlimit limit;

        if (before->soft == RLIM_INFINITY || getrlimit(RLIMIT_AS, &limit) < 0)
                return;
        limit.rlim_cur = before->soft;
        (void)setrlimit(RLIMIT_AS, &limit);
}

int memory_limit_settle(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_AS, &limit) < 0)
                return -errno;
        limit.rlim_max = limit.rlim_cur;
        return setrlimit(RLIMIT_AS, &limit) < 0 ? -errno : 0;
}
