/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/found.h"

#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "base/size.h"
#include "cli/partition-list.h"
#include "cli/text.h"
#include "cli/view-look.h"

#include <stdio.h>
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

void found_tell(const char *image, const char *view, bool has_loop)
{
        const char *sudo = geteuid() == 0 ? "" : "sudo ";
        _cleanup_free_ char *name = text_printable(image);
        _cleanup_free_ char *word = text_shell_word(view);
        char size[SIZE_TEXT_MAX];
        Found found = { false };
        ViewLook look;

        view_look_in(-1, view, &look);
        if (look.condition != VIEW_SERVING || !found_get(view, &found) || !name)
                return;
        fprintf(stderr, "%s: %s, %s, %s\n", name, look.format, size_format(look.size, size),
                found.writable ? "writable" : "read-only");
        bool has_partitions = partition_list_tell(view);
        /* A name that cannot be typed is nothing to tell what to do with. */
        if (!word)
                return;
        fprintf(stderr, "\nLook at it:      fdisk -l %s\n", word);
        if (has_partitions)
                fprintf(stderr,
                        "One partition:   touch part && rawview --partition=NUMBER %s part\n",
                        word);
        if (found.root_may && !has_loop)
                fprintf(stderr, "Block devices:   %slosetup --find --show --partscan%s %s\n", sudo,
                        found.writable ? "" : " --read-only", word);
        fprintf(stderr, "End it:          rawview umount %s\n", word);
}
