/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox/landlock.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As kernels from 6.12 on have it; headers may be older. */
typedef struct LandlockRules {
        uint64_t files, network, scopes;
} LandlockRules;

/* What each version of the interface knows to forbid; there are no holes between the bits of one kind. */
typedef struct LandlockAbi {
        int version;
        unsigned file_bits, network_bits, scope_bits;
        size_t size;
} LandlockAbi;

static const LandlockAbi landlock_abis[] = {
        { 6, 16, 2, 2, sizeof(LandlockRules) },
        { 5, 16, 2, 0, offsetof(LandlockRules, scopes) },
        { 4, 15, 2, 0, offsetof(LandlockRules, scopes) },
        { 3, 15, 0, 0, offsetof(LandlockRules, network) },
        { 2, 14, 0, 0, offsetof(LandlockRules, network) },
        { 1, 13, 0, 0, offsetof(LandlockRules, network) },
};

static uint64_t landlock_bits(unsigned count)
{
        return (UINT64_C(1) << count) - 1;
}

/* A filter that does not know the calls, such as that of systemd-nspawn 252, answers EPERM. */
static int landlock_fail(int code, Err *err)
{
        if (code == ENOSYS || code == EPERM || code == EOPNOTSUPP)
                return err_set(err, EOPNOTSUPP, "Landlock is not to be had: %s",
                               strerrordesc_np(code));
        return err_set(err, code, "cannot enter a Landlock domain: %m");
}

int landlock_enter(Err *err)
{
        long version =
                syscall(SYS_landlock_create_ruleset, NULL, 0UL, LANDLOCK_CREATE_RULESET_VERSION);
        if (version < 1)
                return landlock_fail(version < 0 ? errno : EOPNOTSUPP, err);

        const LandlockAbi *abi = landlock_abis;
        while (abi->version > version)
                abi++;
        LandlockRules rules = {
                .files = landlock_bits(abi->file_bits),
                .network = landlock_bits(abi->network_bits),
                .scopes = landlock_bits(abi->scope_bits),
        };
        _cleanup_close_ int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, abi->size, 0UL);
        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0UL) < 0)
                return landlock_fail(errno, err);
        return 0;
}
