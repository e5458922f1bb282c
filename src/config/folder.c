/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/folder.h"

#include "base/cleanup.h"
#include "base/safe-path.h"

#include <errno.h>
#include <fcntl.h>

int folder_open(const char *path, DIR **ret, Err *err)
{
        _cleanup_close_ int found = -1, fd = -1;
        Err why = { "" };

        int r = safe_path_open(path, PATH_RULE_TRUSTED, PATH_FOLDER, NULL, &found, &why);
        if (r < 0)
                return err_set(err, -r, "%s: %s%s", path,
                               r == -EPERM ? "" : "cannot open it: ", why.text);
        r = safe_path_reopen(found, O_RDONLY | O_DIRECTORY, &fd);
        if (r < 0)
                return err_set(err, -r, "%s: cannot open it: %m", path);
        DIR *d = fdopendir(fd);
        if (!d)
                return err_set(err, errno, "%s: cannot open it: %m", path);
        fd_take(&fd);
        *ret = d;
        return 0;
}

int folder_next(DIR *d, const char *path, const struct dirent **ret, Err *err)
{
        errno = 0;
        *ret = readdir(d);
        return *ret || errno == 0 ? 0 : err_set(err, errno, "%s: cannot read it: %m", path);
}
