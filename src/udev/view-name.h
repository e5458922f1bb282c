/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The name of a view below /dev/disk/by-rawview, by the mount table alone. Pure; any thread.
 *
 * Only views of root's have one: a name there is what /etc/fstab mounts, so no user may choose what is behind it. It is the file name
 * of the view; of several views with the same one the first in the table has it, which was there first.
 */
#pragma once

#include "base/mountinfo.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
        /* With "-part" and a number behind it, it has to fit into a folder. */
        VIEW_NAME_MAX = 240,
};

/* Does a view of root's cover `path`? Whether it is the one that somebody has opened, only its device number tells. */
bool view_name_may_be(const MountTable *t, const char *path);

/* Writes the name of the view at `path` whose file system is `device`, as udev encodes names: no character in it means anything
 * to udev, a shell or a line. ENOENT: it is none of root's; EEXIST: another view has the name; EINVAL: no good name. */
int view_name_find(
        const MountTable *t, const char *path, dev_t device, char ret[VIEW_NAME_MAX + 1], Err *err);
