/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/found.h"

#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "base/size.h"
#include "cli/partition-list.h"
#include "cli/text.h"
#include "cli/view-look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Found {
        bool writable;
        bool root_may; /* look at it, by sudo */
} Found;

static bool found_get(const char *view, Found *ret)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };
        const MountEntry *e = NULL;

        if (mount_table_read(&mounts, NULL) < 0)
                return false;
        for (size_t i = 0; i < mounts.count; i++)
                if (strcmp(mounts.entries[i].type, MOUNT_TYPE_VIEW) == 0 &&
                    strcmp(mounts.entries[i].target, view) == 0)
                        e = &mounts.entries[i];
        if (!e)
                return false;
        ret->writable = !mount_options_have(e->options, "ro", NULL);
        ret->root_may = geteuid() == 0 || mount_options_have(e->super_options, "allow_other", NULL);
        return true;
}

void found_tell(const FoundView *view)
{
        _cleanup_free_ char *name = text_printable(view->image),
                            *word = text_shell_word(view->path), *disk = NULL;
        PartitionListView list = {
                .word = word,
                .is_folder = view->is_folder,
                .by_root = geteuid() == 0,
        };
        char size[SIZE_TEXT_MAX];
        Found found = { false };
        ViewLook look;

        if (asprintf(&disk, "%s%s", view->path, view->is_folder ? "/disk" : "") < 0)
                disk = NULL;
        if (!name || !disk)
                return;
        view_look_in(-1, disk, &look);
        /* It is the worker that says so, whatever has become of it. */
        _cleanup_free_ char *format = text_printable(look.format);
        if (look.condition != VIEW_SERVING || !found_get(view->path, &found) || !format)
                return;
        fprintf(stderr, "%s: %s, %s, %s\n", name, format, size_format(look.size, size),
                found.writable ? "writable" : "read-only");
        partition_list_tell(disk, &list);
        /* A name that cannot be typed is nothing to tell what to do with. */
        if (!word)
                return;
        if (found.root_may && !view->has_loop && !view->is_folder)
                fprintf(stderr, "Block devices:   %slosetup --find --show --partscan%s %s\n",
                        list.by_root ? "" : "sudo ", found.writable ? "" : " --read-only", word);
        fprintf(stderr, "End it:          rawview umount %s\n", word);
}
