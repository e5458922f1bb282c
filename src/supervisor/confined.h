/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why root may be refused what no permission of a file forbids: an AppArmor profile. Any thread.
 */
#pragma once

#include "base/err.h"

/* What the kernel says of our own profile, "rawviewd (enforce)". */
#define CONFINED_FILE "/proc/self/attr/current"

/* Adds to `err` that the profile may be the reason, if `r` is -EACCES and `file` (CONFINED_FILE) says that one is enforced.
 * Returns `r`. */
int confined_explain(const char *file, int r, Err *err);
