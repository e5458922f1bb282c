/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom a process of root's becomes before it looks at an image. Reads the user database, so that it is asked before the
 * sandbox. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* False: we are not root, or root without any capability (mount.fuse3 does that), or there is no such user. */
bool broker_find_user(uint32_t *ret_uid, uint32_t *ret_gid);
