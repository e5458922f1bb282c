/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's mount table, the only register of views: /proc/self/mountinfo, read at one moment.
 * A MountTable belongs to one thread and owns the texts of its entries. Reading it touches no mounted file system,
 * so a view whose server hangs cannot hang the reader.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct MountEntry {
        uint64_t id, parent;
        unsigned device_major, device_minor;
        const char *root;    /* what of the file system is shown, "/" for all */
        const char *target;  /* mount point, unescaped */
        const char *options; /* of this mount: "ro,nosuid,…" */
        const char *type;    /* "fuse.rawview" */
        const char *source;
        const char *super_options; /* of the file system: "rw,user_id=0,…" */
} MountEntry;

typedef struct MountTable {
        char *text;
        MountEntry *entries;
        size_t count;
} MountTable;

/* The type of all views. */
#define MOUNT_TYPE_VIEW "fuse.rawview"

/* Takes `text` apart in place and owns it on success only. Lines that make no sense are left out. */
int mount_table_parse(char *text, MountTable *ret);
int mount_table_read(MountTable *ret, Err *err);
void mount_table_done(MountTable *t);

/* NULL: there is none (any more). */
const MountEntry *mount_table_find(const MountTable *t, uint64_t id);

/* Is `name` (or `name`=…) among comma-separated options? *ret_value points behind the '=' or is NULL; it may be
 * asked for with NULL. */
bool mount_options_have(const char *options, const char *name, const char **ret_value);

/* Who has mounted a FUSE file system (user_id=), and so serves it. False: no such, and *ret is left alone. */
bool mount_entry_get_user(const MountEntry *e, uid_t *ret);

/* The mount that a descriptor (O_PATH too) lies in. Asks /proc/self/fdinfo, never the file system. */
int mount_id_of_fd(int fd, uint64_t *ret);

static inline void mount_table_donep(MountTable *t)
{
        mount_table_done(t);
}
#define _cleanup_mount_table_ __attribute__((cleanup(mount_table_donep)))
