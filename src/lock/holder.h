/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who holds a lock. The kernel does not say whose an open-file-description lock is (-1 in F_OFD_GETLK and in
 * /proc/locks), but lists the locks of each descriptor in /proc/PID/fdinfo. What belongs to other users cannot be looked
 * at, and the search ends after a bounded number of descriptors. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

typedef struct Holder {
        pid_t pid;
        char name[32]; /* of the program, as the kernel cuts it */
} Holder;

/* How the kernel calls a file in lists of locks: "fe:00:1234". */
typedef struct LockedFile {
        char name[64];
} LockedFile;

/* Best asked while `fd` holds a lock: then the kernel itself gives the name; otherwise it is made of fstat(). */
void locked_file_of_fd(int fd, LockedFile *ret);

/* False: nobody was found. With several holders, the one that /proc lists first. */
bool holder_find(const LockedFile *file, unsigned byte, Holder *ret);

/* False: the process is gone. */
bool holder_of_pid(pid_t pid, Holder *ret);
