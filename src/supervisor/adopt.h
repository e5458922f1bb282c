/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection of a mount that somebody else has made, as mount.fuse3 does with drop_privileges: /dev/fd/N as a mount point.
 * We serve it, and never mount or unmount. Where the kernel tells (fdinfo, 6.16 and later) its mount is looked up, or
 * nothing is known of it but that it is there. One thread.
 */
#pragma once

#include "base/err.h"
#include "supervisor/mount.h"
#include "supervisor/target.h"

/* `fd` goes into the mount. The target gets the path of the mount, or /dev/fd/N and no folder when it is not known. ENOTTY: `fd`
 * is not /dev/fuse. ENOTCONN: nothing is mounted with it. EBUSY: it is being served. EISDIR: it is mounted as a
 * folder. EPERM: everybody would be let in. The texts do not name `fd`. */
int adopt_connection(int fd, Target *ret_target, Mount *ret_mount, Err *err);

/* What of `text`, the fdinfo of a connection, is its device number; 0: it is not in there. */
unsigned adopt_find_device(const char *text);
