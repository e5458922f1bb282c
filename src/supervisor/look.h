/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A look at the view from outside, as any program would take it, made by a child that can be given up. The file is
 * named by its folder and its name there, because only a path leads through the mount. One thread.
 */
#pragma once

#include "base/attempt.h"

#include <stdint.h>

typedef struct LookResult {
        uint64_t size;
} LookResult;

/* 1: its server is gone (ENOTCONN). 0: it answers. -ETIMEDOUT: it does not. */
int look_is_dead(int parent, const char *name);

/* Opens, measures and reads the view; the size that the kernel learns by that is what loop devices ask for. The name
 * must stay until the attempt is finished; its result is a LookResult. */
int look_start_first(int parent, const char *name, Attempt *ret);

/* Brings to the server what programs have written through mappings, and to disk what the server has. */
int look_start_flush(int parent, const char *name, Attempt *ret);
