/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What mount(8) and umount(8) expect of their helpers: the exit statuses of mount(8).
 */
#pragma once

#include "cli/cli.h"

typedef enum MountExit {
        MOUNT_EXIT_OK = 0,
        MOUNT_EXIT_USAGE = 1, /* or not permitted */
        MOUNT_EXIT_SYSTEM = 2,
        MOUNT_EXIT_BUG = 4,
        MOUNT_EXIT_INTERRUPTED = 8,
        MOUNT_EXIT_FAILED = 32,
} MountExit;

/* What stopped us before anything was tried: we were called wrongly, or the system has not enough of something. */
static inline MountExit mount_exit_from(CliExit status)
{
        return status == CLI_OK      ? MOUNT_EXIT_OK
               : status == CLI_USAGE ? MOUNT_EXIT_USAGE
                                     : MOUNT_EXIT_SYSTEM;
}
