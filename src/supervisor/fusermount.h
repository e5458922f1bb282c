/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fusermount3, the setuid program that mounts and unmounts for users who are not root. It is a child that is waited
 * for; what it says goes into the error and not to the terminal. One thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Mounts over `target` (absolute); *ret_fd is the /dev/fuse descriptor. */
int fusermount_mount(const char *target, const char *options, int *ret_fd, Err *err);

/* EBUSY: somebody has it open, and it was not to be detached. */
int fusermount_umount(const char *target, bool detach, Err *err);

/* Appends `text` to `options` of `size` bytes with commas and backslashes escaped. ENAMETOOLONG when it does not fit. */
int fusermount_escape(char *options, size_t size, const char *text);
