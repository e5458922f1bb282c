/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Image locks as QEMU takes them: who opens an image says by locks on single bytes what it does with the file and what
 * nobody else may do meanwhile. Many readers go together, a writer goes with nobody. Open-file-description locks: they
 * belong to the open file, wherever its descriptors are, and end with the last of them. Only who takes such locks is
 * kept away by them. Any thread.
 */
#pragma once

#include "base/err.h"

typedef enum LockRole {
        LOCK_READER, /* nobody may write to it or change its size */
        LOCK_WRITER, /* the same, and we do both */
} LockRole;

/* What lock_take() gives where the file system knows no such locks. */
#define LOCK_UNKNOWN_HERE 1

/* `fd` is open for reading, of a regular file or block device. 0: the locks are held until the last descriptor of this
 * open file is closed. LOCK_UNKNOWN_HERE: none is held, and the text says why. -EAGAIN: somebody's use of the file and
 * ours exclude each other; none is held, and the text names them: "is in use by NAME (pid N), which …". */
int lock_take(int fd, LockRole role, Err *err);
