/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ending a view that was named by a path. One thread.
 */
#pragma once

#include "base/err.h"

typedef enum UmountHow {
        UMOUNT_CLEAN, /* returns when everything is on disk and the image is closed */
        UMOUNT_LAZY,  /* takes it away though it is in use, and returns at once */
        UMOUNT_FORCE, /* ends the connection, whatever is on its way, if root calls; else as CLEAN */
} UmountHow;

/* EINVAL: it is no view. EPERM: it is somebody else's. EBUSY: in use. ETIMEDOUT: unmounted, but the image is not closed, and its
 * daemon does nothing any more. EINTR: Ctrl-C, while the daemon goes on. */
int umount_path(const char *path, UmountHow how, Err *err);
