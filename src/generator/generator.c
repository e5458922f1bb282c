/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/generator.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "config/descriptor-list.h"
#include "config/descriptor.h"
#include "config/specifier.h"
#include "generator/drop-in.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
        /* The kernel's log takes few lines at once, and nobody reads ten thousand. */
        GENERATOR_WARNINGS_MAX = 20,
};

bool generator_finds_device_units(void)
{
        struct statvfs fs;

        return statvfs("/sys", &fs) == 0 && !(fs.f_flag & ST_RDONLY);
}

static void generator_warn(void *arg, const char *text)
{
        Generator *g = arg;

        if (g->warnings++ < GENERATOR_WARNINGS_MAX)
                log_line(LOG_LEVEL_WARNING, "%s", text);
}

static bool generator_find_credential(const char *const *stores,
                                      const char *name,
                                      char ret[PATH_MAX])
{
        struct stat st;

        for (const char *const *s = stores; s < stores + SCOPE_STORES_MAX && *s; s++)
                if (snprintf(ret, PATH_MAX, "%s/rawview.%s.passphrase", *s, name) < PATH_MAX &&
                    stat(ret, &st) == 0 && S_ISREG(st.st_mode))
                        return true;
        return false;
}

static int generator_write(const Generator *g, const DropIn *d, const char *unit, Err *err)
{
        _cleanup_free_ char *text = NULL;
        char folder[NAME_MAX + 1];
        size_t len = 0;

        if (snprintf(folder, sizeof(folder), "%s.d", unit) >= (int)sizeof(folder))
                return err_set(err, ENAMETOOLONG, "the name of its unit is too long");
        FILE *out = open_memstream(&text, &len);
        if (!out)
                return err_set(err, ENOMEM, "%m");
        int r = drop_in_put(out, d, generator_warn, (void *)g, err);
        if (fclose(out) != 0)
                return err_set(err, ENOMEM, "%m");
        return r < 0 ? r
                     : output_write(g->output, folder, "50-rawview-generator.conf", text, len, err);
}

static int generator_add(
        const Generator *g, const char *name, const char *source, const Config *c, Err *err)
{
        _cleanup_free_ char *unit = NULL;
        char credential[PATH_MAX];
        DropIn d = {
                .config = c,
                .source = source,
                .has_device_units = g->has_device_units,
                .has_device_policy = g->scope->is_system,
        };

        if (!c->path)
                return err_set(err, EINVAL, "Path= is missing: which image?");
        int r = specifier_expand("%n", name, &unit, err);
        if (r < 0)
                return r;
        d.credential_is_encrypted =
                generator_find_credential(g->scope->encrypted_stores, name, credential);
        if (!c->key_file && (d.credential_is_encrypted ||
                             generator_find_credential(g->scope->stores, name, credential)))
                d.credential = credential;
        r = generator_write(g, &d, unit, err);
        if (r < 0 || !c->automatic)
                return r;
        return output_link(g->output,
                           c->no_fail ? "rawview.target.wants" : "rawview.target.requires", unit,
                           g->scope->template_file, err);
}

/* What a service says of its descriptor when it starts is not said here as well: unknown keys, keys that exclude each
 * other. */
static void generator_take(Generator *g, const char *name)
{
        _cleanup_descriptor_ Descriptor d = { 0 };
        _cleanup_config_ Config c;
        Err err = { "" };

        config_init(&c);
        c.without_users = g->scope->is_system;
        int r = descriptor_read(&c, g->folders, name, NULL, NULL, &d, &err);
        if (d.masked)
                return;
        if (r >= 0) {
                r = generator_add(g, name, d.files[0], &c, &err);
                if (r < 0)
                        err_prefix(&err, r, "%s", d.files[0]);
        }
        if (r < 0)
                generator_warn(g, err.text);
}

int generator_run(Generator *g, Err *err)
{
        _cleanup_descriptor_list_ DescriptorList list = { 0 };

        int r = descriptor_list_read(g->folders, generator_warn, g, &list, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < list.count; i++)
                generator_take(g, list.names[i]);
        if (g->warnings > GENERATOR_WARNINGS_MAX)
                log_line(LOG_LEVEL_WARNING, "%u more warnings like these are left out",
                         g->warnings - GENERATOR_WARNINGS_MAX);
        return 0;
}
