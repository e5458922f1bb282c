/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that a process which was taken over would like to do, one attempt each. Harmless without any barrier, too: what
 * succeeds is undone. For children that do one of them and end: nothing asserts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whom and what the attempts are about. */
typedef struct EscapeTargets {
        pid_t other;        /* another process that must be left alone */
        int image;          /* a descriptor that is there to be read */
        const char *secret; /* a file of root's, mode 0600 */
} EscapeTargets;

typedef struct Escape {
        const char *name;
        int (*act)(const EscapeTargets *t); /* 0: it was done; else the errno that stopped it */
        int errno_instead;                  /* what the filter answers; 0: it ends the process */
        int call; /* what the filter of a build with sanitizers may let through; -1: never */
} Escape;

extern const Escape escapes[];
extern const size_t escape_count;
