/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loop devices over a view, and what uses them, from /sys and the mount table: neither the view nor a device is touched. Only
 * what this mount namespace sees is found. One thread.
 */
#pragma once

#include "base/mountinfo.h"

enum {
        LOOPS_MAX = 8,
        LOOPS_TEXT_MAX = 128,
};

typedef struct Loop {
        char name[32];             /* "loop3" */
        bool in_use;               /* there is a file system or another device on it */
        char user[LOOPS_TEXT_MAX]; /* "mounted at /mnt/a", "used by dm-0"; "": nobody was found */
} Loop;

typedef struct Loops {
        Loop list[LOOPS_MAX]; /* the first ones */
        size_t count;
} Loops;

/* Those whose backing file is `path`. `sys` is "/sys/block", or what a test puts in its place. */
void loops_find(const char *sys, const MountTable *table, const char *path, Loops *ret);
