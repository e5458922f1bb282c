/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file that a view is to cover, held by descriptor from the check on, so that nobody can put another file in its
 * place. Nothing here waits for a server of a view that may be dead: the mount table is asked first. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Target {
        int fd;     /* O_PATH, of the file beneath the view */
        int parent; /* O_PATH, its folder */
        PathRule rule;
        PathChooser chooser; /* of the folder */
        char *path;          /* absolute, symbolic links resolved */
        const char *name;    /* its last part, in `path` */
        uint64_t mount_id;   /* the mount that the file lies in */
        bool is_folder;      /* to be covered, not a file */
        char link[32];       /* "/proc/self/fd/N" of fd */
} Target;

#define TARGET_NONE                     \
        (Target)                        \
        {                               \
                .fd = -1, .parent = -1, \
        }

/* Takes an existing regular file that nothing covers. A dead view of ours that covers it is unmounted first. What is
 * missing directly in /run/rawview, or for a user in XDG_RUNTIME_DIR/rawview, is made: an empty file; also in place of an
 * empty folder.
 * EPERM when somebody who `rule` is about could choose it. ENOENT, ELOOP (a symbolic link), EISDIR, EINVAL (no regular file), EBUSY (covered), each in words. */
int target_open(const char *path, PathRule rule, Target *ret, Err *err);

/* The same of an existing folder; what is missing in those places is made, an empty folder. ENOTDIR: no folder. */
int target_open_folder(const char *path, PathRule rule, Target *ret, Err *err);

/* The mount that covers the file now (target->mount_id when nothing does). Never waits for a server. */
int target_get_mount_id(const Target *t, uint64_t *ret);

/* The number that no other mount ever has, of the mount that covers the file now. 0: not to be had. */
uint64_t target_get_unique_mount_id(const Target *t);

/* Unmounts what covers the file now. EBUSY: in use; `detach` takes it away all the same. */
int target_umount(const Target *t, bool detach, Err *err);

/* Takes away the file itself, which was made for this view, if it is empty and nothing covers it. */
void target_remove(const Target *t);

void target_done(Target *t);
