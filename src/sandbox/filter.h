/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The seccomp filter of a process that looks at an image: a list of what answering requests on open descriptors takes.
 * Anything else ends the process with SIGSYS. It holds for the calling thread and those that it starts.
 */
#pragma once

#include "base/err.h"

/* Wants no_new_privs. -EOPNOTSUPP: the kernel has no seccomp filters. */
int filter_enter(Err *err);
