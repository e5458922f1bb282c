/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file that says which process to signal. It is written into and never put over anything, and taken away only where
 * it was written. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"

typedef struct PidFile {
        int folder; /* O_PATH */
        int fd;     /* -1: none was written */
        const char *name;
} PidFile;

#define PID_FILE_NONE                   \
        (PidFile)                       \
        {                               \
                .folder = -1, .fd = -1, \
        }

/* Writes our number to `path` (absolute, borrowed), which must not exist or be an old pid file. EPERM: others could lead us
 * elsewhere, or it is somebody else's. */
int pid_file_write(const char *path, PathRule rule, PidFile *ret, Err *err);

/* Takes it away again, if it was written and is still there. */
void pid_file_withdraw(PidFile *f);
