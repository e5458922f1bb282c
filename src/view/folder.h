/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several views of one image side by side: the disk, and a window for each of its partitions. Made before anything is served and
 * not changed after that; owns its views.
 */
#pragma once

#include "view/view.h"

enum {
        FOLDER_NAME_MAX = 16,
};

typedef struct FolderEntry {
        char name[FOLDER_NAME_MAX];
        View *view;
        /* What is written through another one shows here: nothing is kept in the kernel's page cache. */
        bool is_uncached;
} FolderEntry;

typedef struct Folder {
        size_t count, room;
        FolderEntry entries[]; /* 0: the disk */
} Folder;

/* NULL: no memory. */
Folder *folder_new(size_t room);

/* Takes `view` over. There must be room. */
void folder_add(Folder *f, const char *name, View *view, bool is_uncached);

/* Of the entry called so; -1: there is none. */
ssize_t folder_find(const Folder *f, const char *name);

/* Accepts NULL; returns NULL. */
Folder *folder_free(Folder *f);

static inline void folder_freep(Folder **f)
{
        *f = folder_free(*f);
}
#define _cleanup_folder_ __attribute__((cleanup(folder_freep)))
