/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/file-opener.h"

#include "base/cleanup.h"
#include "lock/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int file_opener_set_given(FileOpener *o, const char *path, Err *err)
{
        o->given = strdup(path);
        return o->given ? 0 : err_set(err, ENOMEM, "%m");
}

int file_opener_lock(const FileOpener *o, int fd, StoreMode mode, Err *err)
{
        Err why = { "" };

        if (o->force_share)
                return 0;
        int r = lock_take(fd, mode == STORE_WRITABLE ? LOCK_WRITER : LOCK_READER, &why);
        if (r == -EAGAIN)
                return err_set(err, EAGAIN, "%s; -U (--force-share) reads it all the same",
                               why.text);
        return r < 0 ? err_set(err, -r, "%s", why.text) : 0;
}

int file_opener_add(FileOpener *o, Store *s, const char *path, Err *err)
{
        _cleanup_free_ char *copy = strdup(path);
        OpenedFile *files = copy ? reallocarray(o->files, o->count + 1, sizeof(*files)) : NULL;

        if (!files)
                return err_set(err, ENOMEM, "%m");
        o->files = files;
        o->files[o->count++] = (OpenedFile){ .store = s, .path = TAKE(copy) };
        return 0;
}

/* From the end: a store that was closed again may have had the same address. */
static const char *file_opener_path(const FileOpener *o, const Store *s)
{
        for (size_t i = o->count; i-- > 0;)
                if (o->files[i].store == s)
                        return o->files[i].path;
        return NULL;
}

static int file_opener_open(
        Opener *opener, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        FileOpener *o = (FileOpener *)opener;
        const char *namer_path = file_opener_path(o, namer);
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        _cleanup_store_ Store *s = NULL;

        if (!namer_path)
                return err_set(err, EACCES, "'%s' stands in a file that nobody knows", name);
        ReferenceRules rules = {
                .policy = o->policy,
                .allowed = o->allowed,
                .top = o->files[0].path,
                .given = o->given,
        };
        int r = reference_open(&rules, namer_path, name, mode == STORE_WRITABLE, &fd, &path, err);
        if (r < 0)
                return r;
        r = file_opener_lock(o, fd, mode, err);
        if (r < 0)
                return r;
        r = store_open_fd(fd, mode, &s, err);
        if (r < 0)
                return r;
        fd_take(&fd);
        r = file_opener_add(o, s, path, err);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

void file_opener_init(FileOpener *o, ReferencePolicy policy, char *const *allowed)
{
        *o = (FileOpener){
                .opener.open = file_opener_open,
                .policy = policy,
                .allowed = allowed,
        };
}

void file_opener_done(FileOpener *o)
{
        for (size_t i = 0; i < o->count; i++)
                free(o->files[i].path);
        free(o->files);
        free(o->given);
        o->given = NULL;
        o->files = NULL;
        o->count = 0;
}
