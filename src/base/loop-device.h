/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What sysfs says of a loop device: neither the device nor the file below it is asked anything, so that nobody waits for who
 * serves that file. Any thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

/* "loop0" and its like, and no partition of one. */
bool loop_device_is_name(const char *name);

/* The path of the file below it, as the kernel calls it. `folder` is /sys/block, or what a test puts in its place; a name of
 * anything else is EINVAL. ENOENT: nothing is attached. free() it. */
int loop_device_read_path(const char *folder, const char *name, char **ret, Err *err);
