/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker/partitions.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>

enum {
        PARTITIONS_WRITE_BITS = 0222,
};

/* An extended one is no file, and only frames others. */
static bool partitions_are_there(const PartitionTable *t)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->partitions[i].kind != PARTITION_EXTENDED)
                        return true;
        return false;
}

/* One with a disklabel is to what that describes as the disk is to all. */
static bool partitions_is_shared(const PartitionTable *t, const Partition *p)
{
        for (size_t i = 0; i < t->count; i++) {
                const Partition *other = &t->partitions[i];
                if (other != p && other->kind != PARTITION_EXTENDED &&
                    partition_overlaps(p, other) && !(p->parent > 0 && p->parent == other->number))
                        return true;
        }
        return false;
}

static int partitions_add(
        Folder *f, Node *n, const char *name, ViewOptions options, bool is_shared, Err *err)
{
        bool is_uncached = options.writable && is_shared;
        View *v = NULL;

        if (is_uncached) {
                options.writable = false;
                options.mode &= ~(mode_t)PARTITIONS_WRITE_BITS;
        }
        int r = view_new(n, &options, &v, err);
        if (r < 0)
                return err_prefix(err, r, "%s", name);
        folder_add(f, name, v, is_uncached);
        return 0;
}

int partitions_show(
        Node *n, const PartitionTable *t, const ViewOptions *options, Folder **ret, Err *err)
{
        _cleanup_folder_ Folder *f = folder_new(t->count + 1);
        if (!f)
                return err_set(err, ENOMEM, "%m");

        int r = partitions_add(f, n, "disk", *options, partitions_are_there(t), err);
        for (size_t i = 0; r >= 0 && i < t->count; i++) {
                const Partition *p = &t->partitions[i];
                ViewOptions window = *options;
                char name[FOLDER_NAME_MAX];
                if (p->kind == PARTITION_EXTENDED)
                        continue;
                window.start = p->start;
                window.len = p->len;
                window.sibling = f->entries[0].view;
                snprintf(name, sizeof(name), "p%u", p->number);
                r = partitions_add(f, n, name, window, partitions_is_shared(t, p), err);
        }
        if (r < 0)
                return r;
        *ret = TAKE(f);
        return 0;
}
