/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/search-path.h"

#include "base/cleanup.h"
#include "build-config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void search_path_done(SearchPath *s)
{
        for (size_t i = 0; i < SEARCH_PATH_MAX; i++) {
                free(s->folders[i]);
                s->folders[i] = NULL;
        }
}

/* Adds base and below, one behind the other. A folder that is there already, because of where rawview is installed, is
 * not looked in twice. */
static int search_path_add(SearchPath *s, const char *base, const char *below, Err *err)
{
        char *folder = NULL;
        size_t count = 0;

        if (asprintf(&folder, "%s%s", base, below) < 0)
                return err_set(err, ENOMEM, "%m");
        for (; count < SEARCH_PATH_MAX && s->folders[count]; count++)
                if (strcmp(s->folders[count], folder) == 0) {
                        free(folder);
                        return 0;
                }
        s->folders[count] = folder;
        return 0;
}

static int search_path_add_all(SearchPath *s,
                               const char *const folders[SEARCH_PATH_MAX][2],
                               Err *err)
{
        for (size_t i = 0; i < SEARCH_PATH_MAX; i++) {
                int r = folders[i][0] ? search_path_add(s, folders[i][0], folders[i][1], err) : 0;
                if (r < 0) {
                        search_path_done(s);
                        return r;
                }
        }
        return 0;
}

int search_path_fill_system(SearchPath *ret, Err *err)
{
        static const char *const folders[SEARCH_PATH_MAX][2] = {
                { "/etc/rawview", "" },
                { "/run/rawview", "" },
                { "/usr/local/lib/rawview", "" },
                { RAWVIEW_VENDORDIR, "" },
        };

        *ret = (SearchPath){ 0 };
        return search_path_add_all(ret, folders, err);
}

/* NULL if it is not set, or no absolute path. */
static const char *search_path_variable(const char *name)
{
        const char *value = getenv(name);

        return value && value[0] == '/' ? value : NULL;
}

static const char *search_path_home(void)
{
        const char *home = search_path_variable("HOME");
        if (home)
                return home;
        const struct passwd *user = getpwuid(geteuid());
        return user && user->pw_dir[0] == '/' ? user->pw_dir : NULL;
}

int search_path_fill_user(SearchPath *ret, Err *err)
{
        const char *config = search_path_variable("XDG_CONFIG_HOME");
        const char *const folders[SEARCH_PATH_MAX][2] = {
                { config ?: search_path_home(), config ? "/rawview" : "/.config/rawview" },
                { search_path_variable("XDG_RUNTIME_DIR"), "/rawview" },
                { "/etc/rawview/user", "" },
                { RAWVIEW_VENDORDIR, "/user" },
        };

        *ret = (SearchPath){ 0 };
        return search_path_add_all(ret, folders, err);
}
