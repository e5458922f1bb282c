/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/next-steps.h"

#include <stdio.h>
#include <string.h>

/* File systems as libblkid calls them. Root mounts what the kernel knows; others have a program for some. */
static const struct {
        const char *type, *program; /* NULL: none that a test types */
} next_file_systems[] = {
        { "btrfs", NULL },
        { "erofs", NULL },
        { "exfat", NULL },
        { "ext2", "fuse2fs -o ro,fakeroot" },
        { "ext3", "fuse2fs -o ro,fakeroot" },
        { "ext4", "fuse2fs -o ro,fakeroot" },
        { "f2fs", NULL },
        { "hfsplus", NULL },
        { "iso9660", NULL },
        { "ntfs", "ntfs-3g -o ro" },
        { "squashfs", "squashfuse" },
        { "udf", NULL },
        { "ufs", NULL },
        { "vfat", NULL },
        { "xfs", NULL },
};

/* The start of a command that mounts it. NULL: there is none. */
static const char *next_mount(const PartitionListView *view, const char *type)
{
        for (size_t i = 0; i < sizeof(next_file_systems) / sizeof(next_file_systems[0]); i++)
                if (strcmp(next_file_systems[i].type, type) == 0)
                        return view->by_root ? "mount -o ro" : next_file_systems[i].program;
        return NULL;
}

/* The one that is most likely wanted: the first with files that can be reached. */
static size_t next_choose(const PartitionListView *view,
                          const PartitionTable *t,
                          const PartitionFacts *facts)
{
        size_t chosen = t->count;

        for (size_t i = t->count; i-- > 0;)
                if (t->partitions[i].kind != PARTITION_EXTENDED &&
                    (chosen == t->count || next_mount(view, facts->each[i].type) ||
                     !next_mount(view, facts->each[chosen].type)))
                        chosen = i;
        return chosen;
}

void next_steps_tell(const PartitionListView *view,
                     const PartitionTable *t,
                     const PartitionFacts *facts)
{
        size_t i = next_choose(view, t, facts);
        const Partition *p = i < t->count ? &t->partitions[i] : NULL;
        const char *mount = next_mount(view, p ? facts->each[i].type : facts->disk.type);
        char in_folder[16] = "";

        fprintf(stderr, "\nLook at it:      %s %s%s\n", p ? "fdisk -l" : "file", view->word,
                view->is_folder ? "/disk" : "");
        if (p && !view->is_folder)
                fprintf(stderr,
                        "One partition:   touch part && rawview -f raw --partition=%u %s part\n",
                        p->number, view->word);
        if (p && view->is_folder)
                snprintf(in_folder, sizeof(in_folder), "/p%u", p->number);
        else if (view->is_folder)
                snprintf(in_folder, sizeof(in_folder), "/disk");
        if (mount)
                fprintf(stderr, "Its files:       mkdir -p files && %s %s%s files\n", mount,
                        p && !view->is_folder ? "part" : view->word, in_folder);
}
