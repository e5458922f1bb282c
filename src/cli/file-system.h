/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What file system lies in a piece of a disk, as libblkid finds it: which is a parser of what a guest has written, so only the
 * confined child asks. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct FileSystem {
        char type[64], label[256], uuid[64]; /* "": none; hostile */
} FileSystem;

/* False: rawview was built without libblkid, and nothing is ever found. */
bool file_system_is_looked_for(void);

/* `fd` is a regular file of the disk's bytes. *ret is filled in any case; an error is one of reading. */
int file_system_find(int fd, uint64_t start, uint64_t len, FileSystem *ret);
