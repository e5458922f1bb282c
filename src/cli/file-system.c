/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/file-system.h"

#include "base/cleanup.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>

bool file_system_is_looked_for(void)
{
        return true;
}

static void file_system_free_probe(blkid_probe *p)
{
        blkid_free_probe(*p);
}

static void file_system_get(blkid_probe p, const char *name, char *ret, size_t size)
{
        const char *value = NULL;

        if (blkid_probe_lookup_value(p, name, &value, NULL) == 0 && value)
                snprintf(ret, size, "%s", value);
}

int file_system_find(int fd, uint64_t start, uint64_t len, FileSystem *ret)
{
        *ret = (FileSystem){ "" };
        _cleanup_(file_system_free_probe) blkid_probe p = blkid_new_probe();
        if (!p)
                return -ENOMEM;

        errno = 0;
        if (blkid_probe_set_device(p, fd, (blkid_loff_t)start, (blkid_loff_t)len) < 0)
                return errno > 0 ? -errno : -EIO;
        blkid_probe_enable_superblocks(p, true);
        blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
                                                     BLKID_SUBLKS_UUID);
        int r = blkid_do_safeprobe(p);
        /* 1: nothing is there. -2: several are, and nobody can say which of them counts. */
        if (r == 1 || r == -2)
                return 0;
        if (r < 0)
                return errno > 0 ? -errno : -EIO;
        file_system_get(p, "TYPE", ret->type, sizeof(ret->type));
        file_system_get(p, "LABEL", ret->label, sizeof(ret->label));
        file_system_get(p, "UUID", ret->uuid, sizeof(ret->uuid));
        return 0;
}
