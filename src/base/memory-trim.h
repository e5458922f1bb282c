/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of a process that has nothing to do for the time being.
 */
#pragma once

/* Gives back what the C library has free, and lets go of the pages of programs and libraries that were needed once, for
 * the start or for an image of another kind: they stay in the kernel's cache of files, and come back from there one by one
 * when they are used again. Needs nothing but madvise, and does not fail. Any thread. */
void memory_trim(void);
