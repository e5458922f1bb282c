/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who uses a view that is to end, in words: loop devices, and the processes that the worker has seen opening it. Nothing here
 * touches the view. What a worker says is used for looking up names of processes and for nothing else. One thread.
 */
#pragma once

#include "base/loops.h"
#include "supervisor/look.h"

enum {
        USERS_TEXT_MAX = 512,
};

/* "dd (pid 123), /dev/loop3 (mounted at /mnt/a)"; "" where nobody can be named. */
void users_format(const LookUse *use, const Loops *loops, char ret[USERS_TEXT_MAX]);

/* Is a file system or another device on one of them? */
bool users_have_mount(const Loops *loops);
