/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hands the kernel a file that a view shows byte for byte, so that it reads and writes that file by itself (FUSE passthrough,
 * Linux 6.9). Which file that is only the worker can say; whether it may be is decided here: it gets nothing that it did not
 * have before, and a view without it is slower and no less right. One thread.
 */
#pragma once

#include "supervisor/manager.h"

/* The file to hand over, borrowed from the broker, or -1: none, and nothing is wrong with that. After MESSAGE_SEALED. */
int passthrough_choose(const Manager *m);

/* Once the kernel has been told of it (FUSE_INIT): under which number it has the file now; 0: it does not take it, because
 * the file lies on a file system that lies on another one, for example. */
int32_t passthrough_open(const Mount *m, int fd);

/* Nobody opens the view any more. What is open still goes on with the file, and holds it and its lock. */
void passthrough_close(const Mount *m, int32_t id);
