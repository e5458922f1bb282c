/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
        CAPABILITIES_MAX = 64,
};

int capabilities_keep(uint64_t mask)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) < 0 ||
            syscall(SYS_capget, &header, sets) < 0)
                return -errno;
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
                uint32_t kept = (uint32_t)(mask >> (32 * i));
                sets[i].effective &= kept;
                sets[i].permitted &= kept;
                sets[i].inheritable = 0;
        }
        return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

void capabilities_bound(uint64_t mask)
{
        for (unsigned long c = 0; c < CAPABILITIES_MAX; c++)
                if (!(mask & CAPABILITY_BIT(c)))
                        (void)prctl(PR_CAPBSET_DROP, c, 0UL, 0UL, 0UL);
}

bool capabilities_have_none(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

        if (syscall(SYS_capget, &header, sets) < 0)
                return false;
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                if (sets[i].effective != 0)
                        return false;
        return true;
}
