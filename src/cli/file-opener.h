/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The opener of the commands that open images themselves: names are resolved under a policy by reference_open().
 * It remembers where each file lies, because names in it are relative to that. Each file is locked while it is open. One
 * thread.
 */
#pragma once

#include "block/opener.h"
#include "reference/reference.h"

#include <stdbool.h>
#include <stddef.h>

/* A file that is open. The store is borrowed, and may be closed already. */
typedef struct OpenedFile {
        Store *store;
        char *path; /* owned */
} OpenedFile;

typedef struct FileOpener {
        Opener opener;
        ReferencePolicy policy;
        char *const *allowed; /* borrowed; see ReferenceRules */
        bool force_share;     /* no locks are taken or tested; false at first */
        char *given;          /* owned; see ReferenceRules */
        OpenedFile *files;    /* the first is the top image */
        size_t count;
} FileOpener;

void file_opener_init(FileOpener *o, ReferencePolicy policy, char *const *allowed);

/* What people called the top image, absolute. Copied. */
int file_opener_set_given(FileOpener *o, const char *path, Err *err);

/* Takes the image lock, which belongs to the open file. EAGAIN: somebody else uses it. */
int file_opener_lock(const FileOpener *o, int fd, StoreMode mode, Err *err);

/* Tells it where a file lies that somebody else has opened: the top image, before all others. `path` is copied. */
int file_opener_add(FileOpener *o, Store *s, const char *path, Err *err);

void file_opener_done(FileOpener *o);
