/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the daemon of a view that is unmounted: it ends when all is on disk, proved where that was asked for, and the image
 * closed. That takes as long as it takes, and the daemon has limits of its own; what is given up on is one that does nothing any
 * more. One thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct UmountWait {
        int daemon; /* pidfd, borrowed */
        pid_t pid;  /* of the same process */
        const char *image;
        bool is_written; /* the view could be written to */
        int patience_ms; /* for a daemon, or its worker, that does nothing */
} UmountWait;

/* Shows at a terminal what is waited for. Ctrl-C ends this process with a line that the daemon goes on. ETIMEDOUT: it does not. */
int umount_wait(const UmountWait *w, Err *err);
