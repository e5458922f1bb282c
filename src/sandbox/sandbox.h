/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From here on, no opening: what a process does before it looks at the first byte of an image. Called once, while there
 * is one thread; there is no way back. What the kernel does not have is reported, and all else is done still.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct SandboxOptions {
        const int *keep; /* descriptors that stay open beside 0, 1 and 2 */
        size_t keep_count;
        uint64_t cache_size; /* memory is limited to this and a fixed amount */
        bool may_burst; /* and for a while it may have more, until memory_limit_settle(): base/memory-limit.h */
        bool switch_user;
        uid_t uid;
        gid_t gid;
        bool required;   /* fail when the kernel lacks anything */
        bool core_dumps; /* may leave a core, which holds pieces of the image */
        pid_t parent;    /* this process ends when that one does; 0: it does not */
} SandboxOptions;

/* Masks of barriers, base/barrier.h. */
typedef struct SandboxReport {
        uint32_t applied;
        uint32_t lacking; /* the kernel does not have them, or keeps them from us */
} SandboxReport;

/* After a failure the process is good for nothing but to say so and to end. */
int sandbox_enter(const SandboxOptions *options, SandboxReport *ret, Err *err);
