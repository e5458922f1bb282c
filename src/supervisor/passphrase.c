/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/passphrase.h"

#include "config/search-path.h"
#include "supervisor/key-file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PASSPHRASE_CREDENTIAL "rawview.passphrase"

/* 1 or 0 for a file that need not be there. */
static int passphrase_try(const char *path, PathRule rule, Secret **ret, Err *err)
{
        Err why = { "" };

        int r = key_file_read(path, rule, ret, &why);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? err_set(err, -r, "%s: %s", path, why.text) : 1;
}

static int passphrase_find_key_file(const PassphraseSources *sources,
                                    Secret **ret,
                                    char from[PASSPHRASE_FROM_MAX],
                                    Err *err)
{
        if (!sources->key_file)
                return 0;
        snprintf(from, PASSPHRASE_FROM_MAX, "KeyFile=%s", sources->key_file);
        int r = key_file_read(sources->key_file, sources->rule, ret, err);
        return r < 0 ? err_prefix(err, r, "%s", from) : 1;
}

/* A user's service manager keeps it in a folder of the user's, where nobody else leads to. */
static int passphrase_find_credential(const PassphraseSources *sources,
                                      Secret **ret,
                                      char from[PASSPHRASE_FROM_MAX],
                                      Err *err)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        char path[PATH_MAX];

        if (!folder || folder[0] != '/' ||
            snprintf(path, sizeof(path), "%s/" PASSPHRASE_CREDENTIAL, folder) >= PATH_MAX)
                return 0;
        snprintf(from, PASSPHRASE_FROM_MAX, "the credential " PASSPHRASE_CREDENTIAL);
        return passphrase_try(
                path, sources->rule == PATH_RULE_KERNEL ? PATH_RULE_KERNEL : PATH_RULE_TRUSTED, ret,
                err);
}

static int passphrase_fill_path(SearchPath *ret, Err *err)
{
        return geteuid() == 0 ? search_path_fill_system(ret, err) : search_path_fill_user(ret, err);
}

static int passphrase_find_named(const PassphraseSources *sources,
                                 Secret **ret,
                                 char from[PASSPHRASE_FROM_MAX],
                                 Err *err)
{
        _cleanup_search_path_ SearchPath path = { 0 };

        if (!sources->instance)
                return 0;
        int r = passphrase_fill_path(&path, err);
        for (size_t i = 0; r == 0 && path.folders[i]; i++) {
                if (snprintf(from, PATH_MAX, "%s/keys.d/%s.key", path.folders[i],
                             sources->instance) < PATH_MAX)
                        r = passphrase_try(from, PATH_RULE_TRUSTED, ret, err);
        }
        return r;
}

int passphrase_find(const PassphraseSources *sources,
                    Secret **ret,
                    char from[PASSPHRASE_FROM_MAX],
                    Err *err)
{
        int r = passphrase_find_key_file(sources, ret, from, err);
        if (r == 0)
                r = passphrase_find_credential(sources, ret, from, err);
        if (r == 0)
                r = passphrase_find_named(sources, ret, from, err);
        return r;
}

void passphrase_explain(const PassphraseSources *sources, char *ret, size_t size)
{
        _cleanup_search_path_ SearchPath path = { 0 };

        if (!sources->instance || passphrase_fill_path(&path, NULL) < 0)
                snprintf(ret, size,
                         "--key-file=FILE names a file that holds it, and on a terminal it is "
                         "asked for");
        else
                snprintf(ret, size,
                         "KeyFile= names a file that holds it, or it lies in %s/keys.d/%s.key, or "
                         "LoadCredential=" PASSPHRASE_CREDENTIAL ":FILE stands in a drop-in of "
                         "the unit",
                         path.folders[0], sources->instance);
}
