/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/drop-in.h"

#include "base/cleanup.h"
#include "generator/unit-text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

typedef struct Putting {
        FILE *out;
        const DropIn *drop_in;
        ConfigWarn warn;
        void *arg;
        char last[PATH_MAX]; /* folder that was put last */
} Putting;

static void putting_warn(const Putting *p, const char *key, const char *why)
{
        Err text;

        err_set(&text, EINVAL, "%s: %s= %s", p->drop_in->source, key, why);
        p->warn(p->arg, text.text);
}

static bool putting_can_say(const Putting *p, const char *key, const char *value)
{
        if (unit_text_is_sayable(value))
                return true;
        putting_warn(p, key,
                     "has characters that no unit can have, so the unit does not wait for it");
        return false;
}

/* The path `path` is in another's hands until its file systems are mounted. */
static void putting_put_mounts_for(Putting *p, const char *key, const char *path, size_t len)
{
        char folder[PATH_MAX];

        if (len >= sizeof(folder) || snprintf(folder, sizeof(folder), "%.*s", (int)len, path) < 0)
                return;
        if (!folder[0])
                strcpy(folder, "/");
        if (strcmp(folder, p->last) == 0 || !putting_can_say(p, key, folder))
                return;
        fputs("RequiresMountsFor=", p->out);
        unit_text_put_word(p->out, folder);
        fputc('\n', p->out);
        strcpy(p->last, folder);
}

/* Not the path itself: a view covers it later, and with that a mount has its name. */
static void putting_put_folder_of(Putting *p, const char *key, const char *path)
{
        if (path && path[0] == '/')
                putting_put_mounts_for(p, key, path, (size_t)(strrchr(path, '/') - path));
}

static bool drop_in_is_device(const char *path)
{
        return strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0;
}

static void putting_put_device(Putting *p)
{
        _cleanup_free_ char *unit = NULL;
        Err why = { "" };

        if (!p->drop_in->has_device_units)
                return;
        if (unit_text_name_device(p->drop_in->config->path, &unit, &why) < 0)
                putting_warn(p, "Path", why.text);
        else
                fprintf(p->out, "BindsTo=%s\nAfter=%s\n", unit, unit);
}

static void putting_put_device_policy(Putting *p)
{
        const Config *c = p->drop_in->config;

        fputs("DeviceAllow=", p->out);
        unit_text_put_word(p->out, c->path);
        fprintf(p->out, " %s\n", config_writes_image(c) ? "rw" : "r");
}

static bool putting_has_loop(const Putting *p)
{
        return p->drop_in->has_device_policy && p->drop_in->config->loop;
}

static void putting_put_unit(Putting *p)
{
        const Config *c = p->drop_in->config;

        fputs("[Unit]\nSourcePath=", p->out);
        unit_text_put(p->out, p->drop_in->source);
        fputc('\n', p->out);
        if (!c->no_fail)
                fputs("Before=rawview.target\n", p->out);
        if (!drop_in_is_device(c->path))
                putting_put_folder_of(p, "Path", c->path);
        else if (putting_can_say(p, "Path", c->path))
                putting_put_device(p);
        /* A group of devices is known to systemd when its module is there. */
        if (putting_has_loop(p))
                fputs("Wants=modprobe@loop.service\nAfter=modprobe@loop.service\n", p->out);
        putting_put_folder_of(p, "MountPoint", c->mount_point);
        putting_put_folder_of(p, "KeyFile", c->key_file);
        putting_put_folder_of(p, "Overlay",
                              config_overlay_is_volatile(c) ? "/var/tmp/" : c->overlay);
        for (char *const *a = c->allowed_paths; a && *a; a++)
                putting_put_mounts_for(p, "AllowedPaths", *a, strlen(*a));
}

static void putting_put_service(Putting *p)
{
        const DropIn *d = p->drop_in;
        const char *path = d->config->path;
        bool device = d->has_device_policy && drop_in_is_device(path) && unit_text_is_sayable(path);

        bool loop = putting_has_loop(p);

        if (device || loop || d->credential)
                fputs("\n[Service]\n", p->out);
        if (loop)
                fputs("DeviceAllow=/dev/loop-control rw\nDeviceAllow=block-loop rw\n", p->out);
        if (device)
                putting_put_device_policy(p);
        if (!d->credential)
                return;
        fprintf(p->out, "LoadCredential%s=rawview.passphrase:",
                d->credential_is_encrypted ? "Encrypted" : "");
        unit_text_put(p->out, d->credential);
        fputc('\n', p->out);
}

int drop_in_put(FILE *out, const DropIn *d, ConfigWarn warn, void *arg, Err *err)
{
        Putting p = { .out = out, .drop_in = d, .warn = warn, .arg = arg };

        if (!unit_text_is_sayable(d->source))
                return err_set(err, EINVAL, "%s: no unit can have this path in it", d->source);
        fputs("# Made by rawview-generator from the descriptor, see rawview.image(5).\n", out);
        putting_put_unit(&p);
        putting_put_service(&p);
        return 0;
}
