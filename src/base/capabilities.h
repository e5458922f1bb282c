/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capabilities given up for good, straight by the kernel's calls. A set is a mask of bits, one for each number of
 * linux/capability.h. It is the calling thread that gives them up: for programs that have one thread yet.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CAPABILITY_BIT(number) (UINT64_C(1) << (number))

/* Of those the process has, only these are left; none is inherited by or ambient for what it starts. */
int capabilities_keep(uint64_t mask);

/* What programs started from here on can have at most. Without CAP_SETPCAP it stays as it is, which takes nothing away
 * where no_new_privs holds. */
void capabilities_bound(uint64_t mask);

/* Root without a single one is root in name only: it cannot even become somebody else. */
bool capabilities_have_none(void);
