/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a loop device itself says of the file below it. One thread.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* The number of the file system that the file lies in, which no server of one can make up. `name` is "loop0", and anything else
 * is EINVAL. The kernel may ask that server for
 * the file's attributes, and a server may hang: ETIMEDOUT after some seconds. */
int loop_backing_device(const char *name, dev_t *ret, Err *err);
