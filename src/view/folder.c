/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/folder.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Folder *folder_new(size_t room)
{
        Folder *f = calloc(1, sizeof(*f) + room * sizeof(f->entries[0]));

        if (f)
                f->room = room;
        return f;
}

void folder_add(Folder *f, const char *name, View *view, bool is_uncached)
{
        assert(f->count < f->room);
        FolderEntry *e = &f->entries[f->count++];

        snprintf(e->name, sizeof(e->name), "%s", name);
        e->view = view;
        e->is_uncached = is_uncached;
}

ssize_t folder_find(const Folder *f, const char *name)
{
        for (size_t i = 0; i < f->count; i++)
                if (strcmp(f->entries[i].name, name) == 0)
                        return (ssize_t)i;
        return -1;
}

/* The first one, whose register of open files the others use, goes last. */
Folder *folder_free(Folder *f)
{
        if (!f)
                return NULL;
        while (f->count > 0)
                view_free(f->entries[--f->count].view);
        free(f);
        return NULL;
}
