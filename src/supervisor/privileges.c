/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/privileges.h"

#include "base/capabilities.h"
#include "build-config.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* To mount and to unmount; to go through folders of others to the mount point and to read a view that shows itself as
 * somebody else's; to kill a worker, which is another user. */
#define PRIVILEGES_TO_SERVE                                                    \
        (CAPABILITY_BIT(CAP_SYS_ADMIN) | CAPABILITY_BIT(CAP_DAC_READ_SEARCH) | \
         CAPABILITY_BIT(CAP_KILL))

/* To write to images of others, and to look into processes of others for the one that holds a lock. */
#define PRIVILEGES_TO_OPEN \
        (PRIVILEGES_TO_SERVE | CAPABILITY_BIT(CAP_DAC_OVERRIDE) | CAPABILITY_BIT(CAP_SYS_PTRACE))

/* The worker gives them up itself, in becoming another user with an empty bounding set. CAP_SYS_RESOURCE: to tell the kernel that it
 * stands between a device and its disk (supervisor/spawn). */
#define PRIVILEGES_TO_START                                                              \
        (PRIVILEGES_TO_OPEN | CAPABILITY_BIT(CAP_SETPCAP) | CAPABILITY_BIT(CAP_SETUID) | \
         CAPABILITY_BIT(CAP_SETGID) | CAPABILITY_BIT(CAP_SYS_RESOURCE))

/* A folder of somebody else's takes and gives back the pid file only by force. */
static bool privileges_need_force(const char *pid_file)
{
        char folder[PATH_MAX];
        struct stat st;

        const char *slash = pid_file ? strrchr(pid_file, '/') : NULL;
        if (!slash || snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - pid_file),
                               pid_file) >= (int)sizeof(folder))
                return false;
        return stat(folder, &st) == 0 && st.st_uid != 0;
}

static int privileges_keep(uint64_t mask, Err *err)
{
        int r = capabilities_keep(mask);
        return r < 0 ? err_set(err, -r, "cannot give up capabilities: %m") : 0;
}

static int privileges_start(Err *err)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0)
                return err_set(err, errno, "cannot set no_new_privs: %m");
        /* The leak detector traces its own process. */
        if (!RAWVIEW_SANITIZED && prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) < 0)
                return err_set(err, errno, "cannot forbid core dumps: %m");
        capabilities_bound(PRIVILEGES_TO_START);
        return privileges_keep(PRIVILEGES_TO_START, err);
}

int privileges_reduce(PrivilegeStage stage, const char *pid_file, Err *err)
{
        if (geteuid() != 0)
                return 0;
        switch (stage) {
        case PRIVILEGES_STARTING:
                return privileges_start(err);
        case PRIVILEGES_SPAWNED:
                /* Of other programs only systemd-ask-password may be started from here on, which needs none. */
                capabilities_bound(0);
                return privileges_keep(PRIVILEGES_TO_OPEN, err);
        case PRIVILEGES_LOOP:
                return privileges_keep(PRIVILEGES_TO_SERVE | CAPABILITY_BIT(CAP_DAC_OVERRIDE), err);
        case PRIVILEGES_SEALED:
                break;
        }
        uint64_t force = privileges_need_force(pid_file) ? CAPABILITY_BIT(CAP_DAC_OVERRIDE) : 0;
        return privileges_keep(PRIVILEGES_TO_SERVE | force, err);
}
