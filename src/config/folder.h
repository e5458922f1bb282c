/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder in which descriptors or their drop-ins lie, opened to be listed: nobody but root and the caller may be able
 * to put another one in its place. Whether others may write to it, who opens what lies in it finds out. One thread.
 */
#pragma once

#include "base/err.h"

#include <dirent.h>

/* EPERM: it must not be believed, and the text says because of what. closedir() *ret. */
int folder_open(const char *path, DIR **ret, Err *err);

/* The next entry, NULL at the end; -errno when it cannot be read. */
int folder_next(DIR *d, const char *path, const struct dirent **ret, Err *err);
