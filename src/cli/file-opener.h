/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The opener of the commands that open images themselves: names are resolved under a policy by reference_open().
 * It remembers where each file lies, because names in it are relative to that. One thread.
 */
#pragma once

#include "block/opener.h"
#include "reference/reference.h"

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
        char *given;          /* owned; see ReferenceRules */
        OpenedFile *files;    /* the first is the top image */
        size_t count;
} FileOpener;

void file_opener_init(FileOpener *o, ReferencePolicy policy, char *const *allowed);

/* What people called the top image, absolute. Copied. */
int file_opener_set_given(FileOpener *o, const char *path, Err *err);

/* Tells it where a file lies that somebody else has opened: the top image, before all others. `path` is copied. */
int file_opener_add(FileOpener *o, Store *s, const char *path, Err *err);

void file_opener_done(FileOpener *o);
