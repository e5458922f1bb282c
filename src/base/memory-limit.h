/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limit of a process's addresses (RLIMIT_AS), and more of them for a while. A confined process has a soft limit, which bounds
 * what a damaged image can make it ask for, and a hard one that is higher by MEMORY_LIMIT_BURST until the image is open: deriving
 * a key from a passphrase takes that much, on purpose. For a process with one thread that does such a thing.
 */
#pragma once

#include <stdint.h>

/* 1 GiB for Argon2 (crypto/limits.h) and some more. */
#define MEMORY_LIMIT_BURST ((UINT64_C(1) << 30) + (UINT64_C(16) << 20))

typedef struct MemoryLimit {
        uint64_t soft;
} MemoryLimit;

/* Makes the soft limit higher by `len`, as far as the hard one lets it. *ret goes to memory_limit_restore. */
int memory_limit_raise(uint64_t len, MemoryLimit *ret);
void memory_limit_restore(const MemoryLimit *before);

/* From now on the soft limit is the hard one, too, and nothing raises it any more. */
int memory_limit_settle(void);
