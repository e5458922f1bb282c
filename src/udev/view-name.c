/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "udev/view-name.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static bool view_is_roots(const MountEntry *e)
{
        uid_t user = 0;

        return strcmp(e->type, MOUNT_TYPE_VIEW) == 0 && mount_entry_get_user(e, &user) && user == 0;
}

static bool view_has_device(const MountEntry *e, dev_t device)
{
        return makedev(e->device_major, e->device_minor) == device;
}

static const char *view_file_name(const char *path)
{
        const char *slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

bool view_name_may_be(const MountTable *t, const char *path)
{
        for (size_t i = 0; i < t->count; i++)
                if (view_is_roots(&t->entries[i]) && strcmp(t->entries[i].target, path) == 0)
                        return true;
        return false;
}

static const MountEntry *view_at(const MountTable *t, const char *path, dev_t device)
{
        for (size_t i = 0; i < t->count; i++) {
                const MountEntry *e = &t->entries[i];
                if (view_is_roots(e) && view_has_device(e, device) && strcmp(e->target, path) == 0)
                        return e;
        }
        return NULL;
}

static const MountEntry *view_first_with(const MountTable *t, const char *file_name)
{
        for (size_t i = 0; i < t->count; i++)
                if (view_is_roots(&t->entries[i]) &&
                    strcmp(view_file_name(t->entries[i].target), file_name) == 0)
                        return &t->entries[i];
        return NULL;
}

/* "web-part1" would be taken for the first partition of "web". */
static bool view_looks_like_partition(const char *name)
{
        size_t len = strlen(name), digits = 0;

        while (digits < len && isdigit((unsigned char)name[len - 1 - digits]))
                digits++;
        return digits > 0 && len - digits >= 5 && memcmp(name + len - digits - 5, "-part", 5) == 0;
}

/* The length of what udev leaves as it is in a name, 0: it has to be encoded. */
static size_t view_plain_length(const char *c)
{
        uint32_t number = 0;
        size_t len = utf8_length(c, &number);

        if (len == 1 && !isalnum((unsigned char)*c) && !strchr("#+-.:=@_", *c))
                return 0;
        return len > 0 && !utf8_is_control(number) ? len : 0;
}

static int view_encode(const char *name, char ret[VIEW_NAME_MAX + 1])
{
        size_t at = 0;

        for (const char *c = name; *c;) {
                size_t len = view_plain_length(c), needed = len > 0 ? len : 4;
                if (at + needed > VIEW_NAME_MAX)
                        return -ENAMETOOLONG;
                if (len > 0)
                        memcpy(ret + at, c, len);
                else
                        snprintf(ret + at, 5, "\\x%02x", (unsigned char)*c);
                at += needed;
                c += len > 0 ? len : 1;
        }
        ret[at] = '\0';
        return at > 0 ? 0 : -EINVAL;
}

int view_name_find(
        const MountTable *t, const char *path, dev_t device, char ret[VIEW_NAME_MAX + 1], Err *err)
{
        const MountEntry *e = view_at(t, path, device);
        if (!e)
                return err_set(err, ENOENT, "'%s' of device %u:%u is no view of root's", path,
                               major(device), minor(device));
        const char *file_name = view_file_name(path);
        const MountEntry *first = view_first_with(t, file_name);
        if (first && !view_has_device(first, device))
                return err_set(err, EEXIST,
                               "'%s': the name '%s' is that of '%s', which was there first", path,
                               file_name, first->target);
        if (view_looks_like_partition(file_name))
                return err_set(err, EINVAL, "'%s': the name looks like that of a partition", path);
        if (view_encode(file_name, ret) < 0)
                return err_set(err, EINVAL, "'%s': the name is too long", path);
        return 0;
}
