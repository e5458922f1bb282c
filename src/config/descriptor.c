/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/descriptor.h"

#include "base/cleanup.h"
#include "base/utf8.h"
#include "config/folder.h"
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
        /* Of one descriptor; nobody has more by intention. */
        DESCRIPTOR_DROP_INS_MAX = 256,
};

typedef struct Reading {
        Config *config;
        const char *const *folders;
        const char *name;
        ConfigWarn warn;
        void *arg;
        char **drop_ins; /* paths, sorted by file name */
        size_t count;    /* of drop_ins */
        char **files;    /* read */
        bool masked;
} Reading;

static void reading_done(Reading *reading)
{
        value_list_free(&reading->drop_ins);
        value_list_free(&reading->files);
}
#define _cleanup_reading_ __attribute__((cleanup(reading_done)))

void descriptor_done(Descriptor *d)
{
        value_list_free(&d->files);
}

bool descriptor_name_is_valid(const char *name)
{
        uint32_t c = 0;

        if (!*name || name[0] == '.' || strchr(name, '/') || strlen(name) > NAME_MAX - 16)
                return false;
        for (size_t len; *name; name += len) {
                len = utf8_length(name, &c);
                if (len == 0 || utf8_is_control(c))
                        return false;
        }
        return true;
}

/* Also a link that leads nowhere, and what we may not look at: opening it says why. */
static bool reading_finds(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static int reading_name(
        char ret[PATH_MAX], const char *folder, const char *name, const char *end, Err *err)
{
        if (snprintf(ret, PATH_MAX, "%s/%s%s", folder, name, end) >= PATH_MAX)
                return err_set(err, ENAMETOOLONG, "%s/%s%s: %m", folder, name, end);
        return 0;
}

/* 1: the file is masked. */
static int reading_take_file(Reading *reading, const char *file, Err *err)
{
        int r = config_read(reading->config, file, reading->name, reading->warn, reading->arg, err);
        return r != 0 ? r : value_list_add(&reading->files, file, err);
}

static int reading_refuse_missing(const Reading *reading, Err *err)
{
        char folders[384] = "";

        for (const char *const *f = reading->folders; *f; f++) {
                size_t used = strlen(folders);
                snprintf(folders + used, sizeof(folders) - used, "%s%s",
                         f == reading->folders ? "" : (f[1] ? ", " : " or "), *f);
        }
        return err_set(err, ENOENT, "there is no %s.image in %s", reading->name, folders);
}

static int reading_take_main(Reading *reading, Err *err)
{
        char file[PATH_MAX];

        for (const char *const *f = reading->folders; *f; f++) {
                int r = reading_name(file, *f, reading->name, ".image", err);
                if (r < 0)
                        return r;
                if (!reading_finds(file))
                        continue;
                r = reading_take_file(reading, file, err);
                reading->masked = r > 0;
                if (reading->masked)
                        return err_set(err, EINVAL, "%s: is masked (it leads to /dev/null)", file);
                return r;
        }
        return reading_refuse_missing(reading, err);
}

static bool reading_is_drop_in(const char *name)
{
        size_t len = strlen(name);

        return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static const char *reading_base(const char *path)
{
        return strrchr(path, '/') + 1;
}

/* Adds a drop-in unless an earlier folder has one of that name. */
static int reading_add_drop_in(Reading *reading, const char *folder, const char *name, Err *err)
{
        char file[PATH_MAX];

        for (size_t i = 0; i < reading->count; i++)
                if (strcmp(reading_base(reading->drop_ins[i]), name) == 0)
                        return 0;
        if (reading->count == DESCRIPTOR_DROP_INS_MAX)
                return err_set(err, E2BIG, "%s: there are more than %d drop-ins", folder,
                               DESCRIPTOR_DROP_INS_MAX);
        int r = reading_name(file, folder, name, "", err);
        if (r < 0)
                return r;
        r = value_list_add(&reading->drop_ins, file, err);
        if (r < 0)
                return r;
        reading->count++;
        return 0;
}

static int reading_look_into(Reading *reading, const char *folder, Err *err)
{
        _cleanup_dir_ DIR *d = NULL;
        const struct dirent *entry = NULL;

        int r = folder_open(folder, &d, err);
        while (r >= 0) {
                r = folder_next(d, folder, &entry, err);
                if (r < 0 || !entry)
                        return r;
                if (reading_is_drop_in(entry->d_name))
                        r = reading_add_drop_in(reading, folder, entry->d_name, err);
        }
        return r;
}

static int reading_compare(const void *a, const void *b)
{
        return strcmp(reading_base(*(char *const *)a), reading_base(*(char *const *)b));
}

static int reading_take_drop_ins(Reading *reading, Err *err)
{
        char folder[PATH_MAX];

        for (const char *const *f = reading->folders; *f; f++) {
                int r = reading_name(folder, *f, reading->name, ".image.d", err);
                if (r < 0)
                        return r;
                r = reading_finds(folder) ? reading_look_into(reading, folder, err) : 0;
                if (r < 0)
                        return r;
        }
        if (reading->count > 1)
                qsort(reading->drop_ins, reading->count, sizeof(*reading->drop_ins),
                      reading_compare);
        for (size_t i = 0; i < reading->count; i++) {
                int r = reading_take_file(reading, reading->drop_ins[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int descriptor_read(Config *c,
                    const char *const *folders,
                    const char *name,
                    ConfigWarn warn,
                    void *arg,
                    Descriptor *ret,
                    Err *err)
{
        _cleanup_reading_ Reading reading = {
                .config = c,
                .folders = folders,
                .name = name,
                .warn = warn,
                .arg = arg,
        };

        int r = reading_take_main(&reading, err);
        ret->masked = reading.masked;
        if (r < 0)
                return r;
        r = reading_take_drop_ins(&reading, err);
        if (r < 0)
                return r;
        ret->files = TAKE(reading.files);
        return 0;
}
