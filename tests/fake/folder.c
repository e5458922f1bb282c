/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/folder.h"

#include "base/cleanup.h"
#include "fake/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int folder_open(FolderOpener *f, const char *path, StoreMode mode, Store **ret, Err *err)
{
        _cleanup_close_ int fd =
                open(path, O_CLOEXEC | (mode == STORE_WRITABLE ? O_RDWR : O_RDONLY));
        if (fd < 0)
                return err_set(err, errno, "cannot open %s: %m", path);
        if (f->count == FOLDER_FILES_MAX)
                return err_set(err, EFBIG, "too many files");

        Store *s = NULL;
        int r = store_open_fd(fd, mode, &s, err);
        if (r < 0)
                return r;
        fd_take(&fd);
        const char *slash = strrchr(path, '/');
        FolderFile *file = &f->files[f->count++];
        file->store = s;
        snprintf(file->folder, sizeof(file->folder), "%.*s", slash ? (int)(slash - path) : 1,
                 slash ? path : ".");
        *ret = s;
        return 0;
}

static int folder_opener_open(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        FolderOpener *f = (FolderOpener *)o;
        char path[2 * PATH_MAX];

        if (name[0] == '/')
                return folder_open(f, name, mode, ret, err);
        for (size_t i = f->count; i-- > 0;) {
                if (f->files[i].store != namer)
                        continue;
                snprintf(path, sizeof(path), "%s/%s", f->files[i].folder, name);
                return folder_open(f, path, mode, ret, err);
        }
        return err_set(err, EACCES, "the file that names it is not known");
}

void folder_init(FolderOpener *f)
{
        f->opener.open = folder_opener_open;
        f->opener.get_secret = fake_get_secret;
        f->count = 0;
}
