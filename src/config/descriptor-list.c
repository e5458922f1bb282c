/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/descriptor-list.h"

#include "base/cleanup.h"
#include "config/descriptor.h"
#include "config/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Listing {
        ConfigWarn warn;
        void *arg;
        const char *folder;
        DescriptorList list;
        size_t room; /* in list.names */
} Listing;

static void listing_done(Listing *l)
{
        descriptor_list_done(&l->list);
}
#define _cleanup_listing_ __attribute__((cleanup(listing_done)))

void descriptor_list_done(DescriptorList *l)
{
        for (size_t i = 0; i < l->count; i++)
                free(l->names[i]);
        free(l->names);
        *l = (DescriptorList){ 0 };
}

static void listing_warn(const Listing *l, const char *name, const char *why)
{
        Err text;

        err_set(&text, EINVAL, "%s/%s: %s", l->folder, name, why);
        l->warn(l->arg, text.text);
}

/* Does something cover the file? A server of a view is never asked: the kernel knows. What cannot be told is believed
 * to be covered. */
static bool listing_is_covered(DIR *d, const char *name)
{
        struct statx st;

        return statx(dirfd(d), name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
                     STATX_TYPE, &st) < 0 ||
               st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int listing_add(Listing *l, const char *name, size_t len, Err *err)
{
        if (l->list.count + 1 >= l->room) {
                size_t room = l->room ? 2 * l->room : 16;
                char **names = reallocarray(l->list.names, room, sizeof(*names));
                if (!names)
                        return err_set(err, ENOMEM, "%m");
                l->list.names = names;
                l->room = room;
        }
        char *copy = strndup(name, len);
        if (!copy)
                return err_set(err, ENOMEM, "%m");
        l->list.names[l->list.count++] = copy;
        l->list.names[l->list.count] = NULL;
        return 0;
}

static int listing_take(Listing *l, DIR *d, const char *file, Err *err)
{
        size_t len = strlen(file);

        if (len < 6 || strcmp(file + len - 6, ".image") != 0 || file[0] == '.')
                return 0;
        int r = listing_add(l, file, len - 6, err);
        if (r < 0)
                return r;
        const char *why = NULL;
        if (!descriptor_name_is_valid(l->list.names[l->list.count - 1]))
                why = "is no name that a descriptor can have; it is left out";
        else if (listing_is_covered(d, file))
                why = "is covered by a mount, and no descriptor; it is left out";
        if (!why)
                return 0;
        listing_warn(l, file, why);
        l->list.count--;
        free(TAKE(l->list.names[l->list.count]));
        return 0;
}

/* A folder that cannot be listed costs what lies in it, and nothing else. */
static int listing_look_into(Listing *l, const char *folder, Err *err)
{
        _cleanup_dir_ DIR *d = NULL;
        const struct dirent *entry = NULL;
        Err why = { "" };

        l->folder = folder;
        int r = folder_open(folder, &d, &why);
        if (r == -ENOENT)
                return 0;
        while (r >= 0) {
                r = folder_next(d, folder, &entry, &why);
                if (r < 0)
                        break;
                if (!entry)
                        return 0;
                int added = listing_take(l, d, entry->d_name, err);
                if (added < 0)
                        return added;
        }
        l->warn(l->arg, why.text);
        return 0;
}

static int listing_compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What several folders have stands there once. */
static void listing_settle(DescriptorList *l)
{
        size_t kept = 0;

        if (l->count > 1)
                qsort(l->names, l->count, sizeof(*l->names), listing_compare);
        for (size_t i = 0; i < l->count; i++) {
                if (kept > 0 && strcmp(l->names[kept - 1], l->names[i]) == 0)
                        free(l->names[i]);
                else
                        l->names[kept++] = l->names[i];
        }
        if (l->names)
                l->names[kept] = NULL;
        l->count = kept;
}

int descriptor_list_read(
        const char *const *folders, ConfigWarn warn, void *arg, DescriptorList *ret, Err *err)
{
        _cleanup_listing_ Listing l = { .warn = warn, .arg = arg };

        for (const char *const *f = folders; *f; f++) {
                int r = listing_look_into(&l, *f, err);
                if (r < 0)
                        return r;
        }
        listing_settle(&l.list);
        *ret = l.list;
        l.list = (DescriptorList){ 0 };
        return 0;
}
