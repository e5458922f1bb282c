/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An Opener that follows the names in images anywhere on the real disk: for tests on images that the test made. It
 * remembers where each file that it opened lies, since names are relative to the file that holds them. One thread.
 */
#pragma once

#include "block/opener.h"

#include <limits.h>
#include <stddef.h>

enum {
        FOLDER_FILES_MAX = 64,
};

typedef struct FolderFile {
        Store *store; /* borrowed, and only compared */
        char folder[PATH_MAX];
} FolderFile;

typedef struct FolderOpener {
        Opener opener; /* hand out &folder.opener */
        size_t count;
        FolderFile files[FOLDER_FILES_MAX];
} FolderOpener;

/* Forgets all files: they are to be closed by then. */
void folder_init(FolderOpener *f);

/* Opens a file that no image names. */
int folder_open(FolderOpener *f, const char *path, StoreMode mode, Store **ret, Err *err);
