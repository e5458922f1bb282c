/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Landlock domain without a single right: no file can be opened, made, moved or run, no TCP port used, no signal sent
 * outside, for the calling thread and what it starts. Descriptors that are open already stay what they are.
 */
#pragma once

#include "base/err.h"

/* Wants no_new_privs. -EOPNOTSUPP: the kernel, or a filter above us, does not have it. */
int landlock_enter(Err *err);
