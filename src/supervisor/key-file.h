/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that holds a passphrase: taken as it is, a newline at its end included, as cryptsetup and QEMU do. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"
#include "base/secret.h"

/* Reads a regular file of 1 to SECRET_MAX bytes. ENOENT: there is none; EPERM: `rule` is against it. Logs a warning where
 * everybody may read it. */
int key_file_read(const char *path, PathRule rule, Secret **ret, Err *err);
