/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/specifier.h"

#include "base/cleanup.h"
#include "base/unit-name.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

static void specifier_put_escaped(FILE *out, const char *name)
{
        for (const char *c = name; *c; c++)
                unit_name_put(out, *c, c == name);
}

static int specifier_put_home(FILE *out, Err *err)
{
        const char *home = getuid() == 0 ? "/root" : getenv("HOME");

        if (!home || home[0] != '/') {
                const struct passwd *user = getpwuid(getuid());
                home = user ? user->pw_dir : NULL;
        }
        if (!home)
                return err_set(err, EINVAL, "%%h: user %u has no home folder", getuid());
        fputs(home, out);
        return 0;
}

static int specifier_put_runtime(FILE *out, Err *err)
{
        const char *folder = getuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

        if (!folder || folder[0] != '/')
                return err_set(err, EINVAL, "%%t: XDG_RUNTIME_DIR is not set");
        fputs(folder, out);
        return 0;
}

static int specifier_put_user(FILE *out, Err *err)
{
        /* For root nobody is asked who may be out of reach early at boot. */
        if (getuid() == 0) {
                fputs("root", out);
                return 0;
        }
        const struct passwd *user = getpwuid(getuid());
        if (!user)
                return err_set(err, EINVAL, "%%u: user %u has no name", getuid());
        fputs(user->pw_name, out);
        return 0;
}

static int specifier_put(FILE *out, char letter, const char *instance, Err *err)
{
        switch (letter) {
        case 'i':
                specifier_put_escaped(out, instance);
                return 0;
        case 'I':
                fputs(instance, out);
                return 0;
        case 'n':
                fputs("rawview@", out);
                specifier_put_escaped(out, instance);
                fputs(".service", out);
                return 0;
        case 'h':
                return specifier_put_home(out, err);
        case 't':
                return specifier_put_runtime(out, err);
        case 'u':
                return specifier_put_user(out, err);
        case 'U':
                fprintf(out, "%u", getuid());
                return 0;
        case '%':
                fputc('%', out);
                return 0;
        default:
                return err_set(err, EINVAL,
                               "specifier '%%%c' is unknown; allowed are %%i %%I %%h %%t %%u %%U "
                               "%%n and %%%%",
                               letter ? letter : ' ');
        }
}

int specifier_expand(const char *text, const char *instance, char **ret, Err *err)
{
        _cleanup_free_ char *expanded = NULL;
        size_t len = 0;

        {
                _cleanup_stream_ FILE *out = open_memstream(&expanded, &len);
                if (!out)
                        return err_set(err, ENOMEM, "%m");
                for (const char *c = text; *c; c++) {
                        if (*c != '%') {
                                fputc(*c, out);
                                continue;
                        }
                        c++;
                        int r = specifier_put(out, *c, instance, err);
                        if (r < 0)
                                return r;
                }
        }
        if (!expanded)
                return err_set(err, ENOMEM, "%m");
        *ret = TAKE(expanded);
        return 0;
}
