/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What differs between a build for use (strict.c) and one with sanitizers (sanitized.c); meson chooses. Sanitizers
 * write reports to files, stop their own process to look for leaks and reserve terabytes of addresses. Constant.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SandboxBuild {
        uint32_t left_out; /* barriers (base/barrier.h) that cannot be raised in such a build */
        bool limits_memory;
        /* System calls that are allowed whatever their arguments, beside the list of filter.c. */
        const int *calls;
        size_t call_count;
} SandboxBuild;

extern const SandboxBuild sandbox_build;
