/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names of what keeps a process that looks at an image from doing anything else. sandbox/ raises the barriers;
 * supervisor, view and command only tell of them. Sets of barriers are masks. Any thread; nothing is owned.
 */
#pragma once

#include <stdint.h>

typedef enum Barrier {
        BARRIER_DESCRIPTORS,  /* all closed but those it needs */
        BARRIER_NETWORK,      /* a network namespace of its own, with nothing in it */
        BARRIER_LIMITS,       /* of memory, descriptors, core dumps */
        BARRIER_CAPABILITIES, /* none, and none to be had */
        BARRIER_USER,         /* not root any more */
        BARRIER_DUMP,         /* no core, no looking in by others of the same user */
        BARRIER_PRIVILEGES,   /* no_new_privs */
        BARRIER_LANDLOCK,     /* no file, no socket may be opened */
        BARRIER_SECCOMP,      /* no system call but those of a list */
        BARRIER_COUNT,
} Barrier;

enum {
        BARRIER_TEXT_MAX = 160,
};

#define BARRIER_BIT(barrier) (UINT32_C(1) << (barrier))

const char *barrier_name(Barrier barrier);

/* "descriptors, limits", or "nothing". Bits that mean nothing are left out. */
const char *barrier_list(uint32_t mask, char text[BARRIER_TEXT_MAX]);
