/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptor files: systemd.syntax(7). */
#include "base/cleanup.h"
#include "base/safe-path.h"
#include "config/specifier.h"
#include "config/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
        /* A descriptor has a few hundred bytes. */
        INI_FILE_MAX = 1 << 20,
        /* With all its continuation lines. */
        INI_LINE_MAX = 1 << 16,
};

typedef struct Ini {
        Config *config;
        const char *file, *instance;
        ConfigWarn warn;
        void *arg;
        char section[64];    /* "": none yet */
        bool skips;          /* the section is unknown, and that has been said */
        unsigned line;       /* last line read */
        unsigned first_line; /* of the assignment in hand */
        size_t read;         /* bytes */
} Ini;

static void ini_warn(const Ini *ini, const char *text)
{
        Err line;

        if (!ini->warn)
                return;
        err_set(&line, EINVAL, "%s:%u: %s", ini->file, ini->first_line, text);
        ini->warn(ini->arg, line.text);
}

static char *ini_strip(char *text)
{
        text += strspn(text, " \t\r\n\f\v");
        size_t len = strlen(text);
        while (len > 0 && strchr(" \t\r\n\f\v", text[len - 1]))
                text[--len] = '\0';
        return text;
}

static int ini_take_section(Ini *ini, char *line, Err *err)
{
        size_t len = strlen(line);

        if (line[len - 1] != ']')
                return err_set(err, EINVAL, "'%s' is no section; [NAME] is allowed", line);
        line[len - 1] = '\0';
        line++;
        if (strlen(line) >= sizeof(ini->section) || !*line)
                return err_set(err, EINVAL, "section name '%s' is empty or too long", line);
        strcpy(ini->section, line);
        ini->skips = !config_has_section(line);
        if (ini->skips) {
                Err text;
                err_set(&text, ENOENT, "unknown section [%s], ignored", line);
                ini_warn(ini, text.text);
        }
        return 0;
}

static int ini_take_assignment(Ini *ini, char *line, Err *err)
{
        char *equals = strchr(line, '=');
        if (!equals)
                return err_set(err, EINVAL, "'%s' is neither KEY=VALUE nor [SECTION]", line);
        *equals = '\0';
        const char *key = ini_strip(line);
        char *raw = ini_strip(equals + 1);

        if (!ini->section[0])
                return err_set(err, EINVAL, "%s= stands before the first section", key);
        if (ini->skips)
                return 0;

        _cleanup_free_ char *value = NULL;
        int r = specifier_expand(raw, ini->instance, &value, err);
        if (r < 0)
                return err_prefix(err, r, "%s", key);

        Err text;
        _cleanup_free_ char *source = NULL;
        if (asprintf(&source, "%s:%u", ini->file, ini->first_line) < 0) {
                source = NULL;
                return err_set(err, ENOMEM, "%m");
        }
        r = config_set_key(ini->config, ini->section, key, value, source, &text);
        if (r == -ENOENT) {
                ini_warn(ini, text.text);
                return 0;
        }
        return r < 0 ? err_set(err, -r, "%s", text.text) : 0;
}

static int ini_take_line(Ini *ini, char *line, Err *err)
{
        line = ini_strip(line);
        if (!*line)
                return 0;
        int r = *line == '[' ? ini_take_section(ini, line, err)
                             : ini_take_assignment(ini, line, err);
        return r < 0 ? err_prefix(err, r, "%s:%u", ini->file, ini->first_line) : 0;
}

static int ini_refuse_size(const char *file, long long size, Err *err)
{
        return err_set(err, EFBIG, "%s: %lld bytes are too many for a descriptor", file, size);
}

/* Reads one line of the file without its newline. 1, or 0 at the end. */
static int ini_read_line(Ini *ini, FILE *f, char **line, size_t *size, Err *err)
{
        errno = 0;
        ssize_t n = getline(line, size, f);
        if (n < 0)
                return errno ? err_set(err, errno, "%s: cannot read it: %m", ini->file) : 0;
        ini->line++;
        ini->read += (size_t)n;
        if (ini->read > INI_FILE_MAX)
                return ini_refuse_size(ini->file, (long long)ini->read, err);
        if (strlen(*line) != (size_t)n)
                return err_set(err, EINVAL, "%s:%u: the line holds a NUL byte", ini->file,
                               ini->line);
        if ((*line)[n - 1] == '\n')
                (*line)[n - 1] = '\0';
        return 1;
}

static bool ini_is_comment(const char *line)
{
        line += strspn(line, " \t");
        return *line == '#' || *line == ';';
}

/* Puts `line` behind *whole; a backslash at its end becomes a blank. 1: the next line belongs to it, too. */
static int ini_join(const Ini *ini, char **whole, const char *line, Err *err)
{
        size_t used = *whole ? strlen(*whole) : 0, len = strlen(line);
        bool goes_on = len > 0 && line[len - 1] == '\\';

        if (used + len > INI_LINE_MAX)
                return err_set(err, EINVAL, "%s:%u: a line of more than %d bytes", ini->file,
                               ini->first_line, INI_LINE_MAX);
        char *longer = realloc(*whole, used + len + 1);
        if (!longer)
                return err_set(err, ENOMEM, "%m");
        memcpy(longer + used, line, len + 1);
        if (goes_on)
                longer[used + len - 1] = ' ';
        *whole = longer;
        return goes_on;
}

static int ini_read(Ini *ini, FILE *f, Err *err)
{
        _cleanup_free_ char *line = NULL, *whole = NULL;
        size_t size = 0;

        for (;;) {
                int r = ini_read_line(ini, f, &line, &size, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                const char *text = line;
                if (ini->line == 1 && strncmp(text, "\xef\xbb\xbf", 3) == 0)
                        text += 3;
                /* A comment between continuation lines is left out and does not end them. */
                if (ini_is_comment(text))
                        continue;
                if (!whole)
                        ini->first_line = ini->line;
                r = ini_join(ini, &whole, text, err);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                r = ini_take_line(ini, whole, err);
                if (r < 0)
                        return r;
                free(TAKE(whole));
        }
        return whole ? ini_take_line(ini, whole, err) : 0;
}

/* As systemctl mask does it. */
static bool ini_is_masked(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* A descriptor is a regular file of a sane size; a fifo would block. */
static int ini_check_file(const char *file, int fd, Err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "%s: cannot look at it: %m", file);
        if (!S_ISREG(st.st_mode))
                return err_set(err, EINVAL, "%s: is not a regular file", file);
        if (st.st_size > INI_FILE_MAX)
                return ini_refuse_size(file, (long long)st.st_size, err);
        return 0;
}

/* Who can write to a descriptor says what root opens and mounts. 1: it is masked, and there is no stream. */
static int ini_open(const char *file, FILE **ret, Err *err)
{
        _cleanup_close_ int found = -1, fd = -1;
        Err why = { "" };

        int r = safe_path_open(file, PATH_RULE_TRUSTED, PATH_READ, NULL, &found, &why);
        if (r < 0)
                return err_set(err, -r, "%s: %s%s", file,
                               r == -EPERM ? "" : "cannot open it: ", why.text);
        if (ini_is_masked(found))
                return 1;
        r = ini_check_file(file, found, err);
        if (r < 0)
                return r;
        r = safe_path_reopen(found, O_RDONLY | O_NOCTTY, &fd);
        if (r < 0)
                return err_set(err, -r, "%s: cannot open it: %m", file);
        FILE *f = fdopen(fd, "r");
        if (!f)
                return err_set(err, errno, "%s: cannot open it: %m", file);
        fd_take(&fd);
        *ret = f;
        return 0;
}

int config_read(
        Config *c, const char *file, const char *instance, ConfigWarn warn, void *arg, Err *err)
{
        _cleanup_stream_ FILE *f = NULL;
        Ini ini = { .config = c, .file = file, .instance = instance, .warn = warn, .arg = arg };

        int r = ini_open(file, &f, err);
        if (r != 0)
                return r;
        return ini_read(&ini, f, err);
}
