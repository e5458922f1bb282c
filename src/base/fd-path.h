/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the file of a descriptor lies now, by /proc. For people, for names that begin there, and to compare; whoever
 * opens such a path again may find something else. Any thread.
 */
#pragma once

#include "base/err.h"

/* Absolute, without symbolic links; free() it. ENAMETOOLONG also for what has no path, as a pipe has none. What was
 * deleted ends with " (deleted)". */
int fd_path(int fd, char **ret, Err *err);
