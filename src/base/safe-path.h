/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a path to what lies there, for a program that may open more than those who could have a hand in the path: a
 * folder of theirs, or a link, may be another one by now. The path is walked part by part, each part is opened once, and
 * what was looked at is what is used. Whoever beside root and the caller could choose where the path leads is the
 * chooser; the chooser gets no more than what is the chooser's. In a file system that a user serves (FUSE), everything
 * is that user's. Asks the user database for names; one thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef enum PathRule {
        /* What the kernel permits. For ordinary users, who can gain nothing. */
        PATH_RULE_KERNEL,
        /* Who owns a link on the way is the chooser. For root, who has named the file by hand. */
        PATH_RULE_LINKS,
        /* So is who owns a folder on the way, or in a folder that many may write to what lies there. For services. */
        PATH_RULE_OWNERS,
        /* There must be no chooser, and nobody else may write to the file. For files that give orders. */
        PATH_RULE_TRUSTED,
} PathRule;

typedef enum PathUse {
        PATH_READ, /* what everybody may read is open to any chooser */
        PATH_WRITE,
        PATH_COVER,  /* a link at the end is not followed */
        PATH_FOLDER, /* to go on from with safe_path_check */
} PathUse;

typedef struct PathChooser {
        bool known; /* false: root and the caller alone */
        uid_t uid;
        char why[192]; /* "the link /tmp/disk.img" */
} PathChooser;

/* Gives an O_PATH descriptor. EPERM: refused, and the text says because of what. ELOOP: more than 40 links, or one in
 * /proc. `ret_chooser` may be NULL. */
int safe_path_open(
        const char *path, PathRule rule, PathUse use, PathChooser *ret_chooser, int *ret, Err *err);

/* The last step of such a walk alone: `fd` was opened by its name in `folder`, to which `chooser` led. */
int safe_path_check(
        const PathChooser *chooser, PathRule rule, PathUse use, int folder, int fd, Err *err);

/* From an O_PATH descriptor to one with these `flags` (close-on-exec), of the same file whatever its name leads to. */
int safe_path_reopen(int fd, int flags, int *ret);

/* Whether more than its owner may write to it, by its group or a list of rights (ACL). Root's group is root. */
bool safe_path_is_shared(int fd, const struct stat *st);

/* What a person calls the owner of a file: "alice", "user 1234". */
void safe_path_name_user(uid_t uid, char ret[64]);
