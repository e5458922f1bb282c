/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/mountinfo.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernel writes blank, tab, newline and backslash as three octal digits behind a backslash. */
static void mountinfo_unescape(char *text)
{
        char *to = text;

        for (const char *c = text; *c; c++) {
                bool octal = c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' &&
                             c[2] <= '7' && c[3] >= '0' && c[3] <= '7';
                if (octal) {
                        *to++ = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
                        c += 3;
                } else {
                        *to++ = *c;
                }
        }
        *to = '\0';
}

static char *mountinfo_word(char **rest)
{
        char *word = strsep(rest, " ");
        if (word)
                mountinfo_unescape(word);
        return word;
}

/* proc(5): id parent major:minor root target options [optional…] - type source super-options */
static int mountinfo_parse_line(char *line, MountEntry *ret)
{
        MountEntry e = { 0 };
        unsigned long long id = 0, parent = 0;
        int n = 0;

        if (sscanf(line, "%llu %llu %u:%u %n", &id, &parent, &e.device_major, &e.device_minor, &n) <
                    4 ||
            n == 0)
                return -EINVAL;
        e.id = id;
        e.parent = parent;

        char *rest = line + n;
        e.root = mountinfo_word(&rest);
        e.target = mountinfo_word(&rest);
        e.options = mountinfo_word(&rest);
        const char *optional = NULL;
        do
                optional = mountinfo_word(&rest);
        while (optional && strcmp(optional, "-") != 0);
        e.type = mountinfo_word(&rest);
        e.source = mountinfo_word(&rest);
        e.super_options = mountinfo_word(&rest);
        if (!e.source)
                return -EINVAL;
        if (!e.super_options)
                e.super_options = "";
        *ret = e;
        return 0;
}

int mount_table_parse(char *text, MountTable *ret)
{
        size_t lines = 1;
        for (const char *c = text; *c; c++)
                lines += *c == '\n';

        MountEntry *entries = calloc(lines, sizeof(*entries));
        if (!entries)
                return -ENOMEM;

        size_t count = 0;
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n"));)
                if (mountinfo_parse_line(line, &entries[count]) == 0)
                        count++;
        *ret = (MountTable){ .text = text, .entries = entries, .count = count };
        return 0;
}

static int mountinfo_read_file(const char *path, char **ret)
{
        _cleanup_stream_ FILE *f = fopen(path, "re");
        if (!f)
                return -errno;

        /* No line holds a NUL, so one getdelim() reads the file whole. */
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        if (getdelim(&text, &size, '\0', f) < 0)
                return ferror(f) ? -errno : -ENODATA;
        *ret = TAKE(text);
        return 0;
}

int mount_table_read(MountTable *ret, Err *err)
{
        _cleanup_free_ char *text = NULL;

        int r = mountinfo_read_file("/proc/self/mountinfo", &text);
        if (r >= 0)
                r = mount_table_parse(text, ret);
        if (r < 0)
                return err_set(err, -r, "cannot read /proc/self/mountinfo: %m");
        text = NULL;
        return 0;
}

void mount_table_done(MountTable *t)
{
        free(t->entries);
        free(t->text);
        *t = (MountTable){ 0 };
}

const MountEntry *mount_table_find(const MountTable *t, uint64_t id)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->entries[i].id == id)
                        return &t->entries[i];
        return NULL;
}

bool mount_options_have(const char *options, const char *name, const char **ret_value)
{
        size_t len = strlen(name);

        for (const char *o = options; *o; o += strcspn(o, ","), o += *o == ',') {
                if (strncmp(o, name, len) != 0)
                        continue;
                if (o[len] != '\0' && o[len] != ',' && o[len] != '=')
                        continue;
                if (ret_value)
                        *ret_value = o[len] == '=' ? o + len + 1 : NULL;
                return true;
        }
        return false;
}

bool mount_entry_get_user(const MountEntry *e, uid_t *ret)
{
        const char *text = NULL;
        char *end = NULL;

        if (strncmp(e->type, "fuse", 4) != 0 ||
            !mount_options_have(e->super_options, "user_id", &text) || !text)
                return false;
        unsigned long user = strtoul(text, &end, 10);
        if (end == text || (*end && *end != ','))
                return false;
        *ret = (uid_t)user;
        return true;
}

int mount_id_of_fd(int fd, uint64_t *ret)
{
        char path[64];
        _cleanup_free_ char *text = NULL;
        unsigned long long id = 0;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        int r = mountinfo_read_file(path, &text);
        if (r < 0)
                return r;
        const char *field = strstr(text, "mnt_id:");
        if (!field || sscanf(field, "mnt_id: %llu", &id) != 1)
                return -EBADMSG;
        *ret = id;
        return 0;
}
