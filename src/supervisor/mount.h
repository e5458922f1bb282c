/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mount of a view and the connection behind it. It never mounts over anything but the descriptor that target.h
 * has checked, and never unmounts a mount that is not the one it made. One thread.
 */
#pragma once

#include "config/config.h"
#include "supervisor/target.h"

typedef struct Mount {
        int fuse_fd; /* -1: none; kept until the end, or the connection would end with the worker */
        uint64_t id; /* in /proc/self/mountinfo; 0: not mounted (any more) */
        uint64_t
                unique_id; /* that no other mount ever has; 0: the kernel, older than 6.8, does not tell */
        unsigned device_major, device_minor; /* minor 0: not known */
        bool allow_other;
        bool allow_other_refused; /* auto, and it could not be had */
        bool adopted;             /* somebody else has mounted, and unmounts; `id` is 0 */
} Mount;

#define MOUNT_NONE             \
        (Mount)                \
        {                      \
                .fuse_fd = -1, \
        }

/* `source` is the path of the image. On failure nothing is mounted; the text does not name the target. */
int mount_view(const Target *target, const Config *c, const char *source, Mount *ret, Err *err);

/* Unmounts if the mount is still there and ours; 1: it was not. EBUSY: in use, or beneath another mount. */
int mount_end(Mount *m, const Target *target, bool detach, Err *err);

/* Does the kernel still ask? Also when the mount is gone from here, a copy of it may be in another mount namespace. */
bool mount_is_connected(const Mount *m);

/* Ends the connection by force, so that whoever waits for it gets an error. -ENOENT: there is no way to, or none. */
int mount_abort(const Mount *m);

/* Lets go of the connection, which ends when no worker has it either. */
void mount_close(Mount *m);

/* Lets the kernel read ahead in requests as long as they may be. Only root may; nothing is lost without. */
void mount_raise_readahead(const Mount *m);

void mount_done(Mount *m);
