/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies below a loop device. One thread.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* The path of the file, as the kernel calls it, by sysfs alone: nothing asks the file's own file system. `folder` is
 * /sys/class/block, `name` "loop0", and anything else is EINVAL. ENOENT: nothing is attached. free() it. */
int loop_backing_path(const char *folder, const char *name, char **ret, Err *err);

/* The number of the file system that the file lies in, which no server of one can make up. The kernel may ask that server for
 * the file's attributes, and a server may hang: ETIMEDOUT after some seconds. */
int loop_backing_device(const char *name, dev_t *ret, Err *err);
