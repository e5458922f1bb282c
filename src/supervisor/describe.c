/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/describe.h"

#include "base/cleanup.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A string of JSON. What is a control character is escaped; a byte that is no UTF-8 becomes U+FFFD. */
static void describe_put_string(FILE *out, const char *text)
{
        uint32_t c = 0;

        fputc('"', out);
        while (*text) {
                size_t len = utf8_length(text, &c);
                if (len == 0) {
                        fputs("\\ufffd", out);
                        text++;
                        continue;
                }
                if (c == '"' || c == '\\')
                        fprintf(out, "\\%c", (char)c);
                else if (utf8_is_control(c) && c <= 0xffff)
                        fprintf(out, "\\u%04x", c);
                else
                        fwrite(text, 1, len, out);
                text += len;
        }
        fputc('"', out);
}

static void describe_put_list(FILE *out, char *const *list)
{
        fputc('[', out);
        for (size_t i = 0; list && list[i]; i++) {
                fputs(i > 0 ? ", " : "", out);
                describe_put_string(out, list[i]);
        }
        fputc(']', out);
}

static void describe_put_value(FILE *out, const ConfigSetting *s)
{
        switch (s->kind) {
        case CONFIG_TEXT:
                if (s->text[0])
                        describe_put_string(out, s->text);
                else
                        fputs("null", out);
                break;
        case CONFIG_BOOLEAN:
                fputs(s->number ? "true" : "false", out);
                break;
        case CONFIG_NUMBER:
                fprintf(out, "%" PRIu64, s->number);
                break;
        case CONFIG_LIST:
                describe_put_list(out, s->list);
                break;
        }
}

static void describe_put_json(FILE *out, const ConfigSetting *s, bool first)
{
        fprintf(out, "%s\n    {\"section\": \"%s\", \"key\": \"%s\", \"value\": ", first ? "" : ",",
                s->section, s->key);
        describe_put_value(out, s);
        fputs(", \"sources\": ", out);
        describe_put_list(out, s->sources);
        fputc('}', out);
}

static int describe_put_printable(FILE *out, const char *text)
{
        _cleanup_free_ char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        utf8_make_printable(copy);
        return fprintf(out, "%s", copy);
}

/* "Key=value", and from column 40 on where that was said. */
static int describe_put_line(FILE *out, const ConfigSetting *s, const char **section)
{
        if (!*section || strcmp(*section, s->section) != 0)
                fprintf(out, "%s[%s]\n", *section ? "\n" : "", s->section);
        *section = s->section;

        int width = fprintf(out, "%s=", s->key);
        int r = describe_put_printable(out, s->text);
        if (r < 0)
                return r;
        width += r;
        fprintf(out, "%*s", width < 38 ? 40 - width : 2, "");
        if (!s->sources)
                fputs("default", out);
        for (size_t i = 0; s->sources && s->sources[i]; i++) {
                fputs(i > 0 ? ", " : "", out);
                r = describe_put_printable(out, s->sources[i]);
                if (r < 0)
                        return r;
        }
        fputc('\n', out);
        return 0;
}

static int describe_put_settings(FILE *out, const Config *c, DescribeShape shape)
{
        const char *section = NULL;

        for (size_t i = 0;; i++) {
                ConfigSetting s = { 0 };
                int r = config_get_setting(c, i, &s);
                if (r <= 0)
                        return r;
                if (shape == DESCRIBE_JSON)
                        describe_put_json(out, &s, i == 0);
                else
                        r = describe_put_line(out, &s, &section);
                free(s.text);
                if (r < 0)
                        return r;
        }
}

static int describe_put_files(FILE *out, char *const *files)
{
        for (size_t i = 0; files && files[i]; i++) {
                fputs("# ", out);
                int r = describe_put_printable(out, files[i]);
                if (r < 0)
                        return r;
                fputc('\n', out);
        }
        return 0;
}

int describe_print(
        FILE *out, const char *name, const Config *c, const Descriptor *d, DescribeShape shape)
{
        int r = 0;

        if (shape == DESCRIBE_JSON) {
                fputs("{\n  \"name\": ", out);
                if (name)
                        describe_put_string(out, name);
                else
                        fputs("null", out);
                fputs(",\n  \"files\": ", out);
                describe_put_list(out, d->files);
                fputs(",\n  \"settings\": [", out);
        } else {
                r = describe_put_files(out, d->files);
        }
        if (r >= 0)
                r = describe_put_settings(out, c, shape);
        if (r >= 0 && shape == DESCRIBE_JSON)
                fputs("\n  ]\n}\n", out);
        if (r < 0)
                return r;
        errno = 0;
        if (fflush(out) != 0 || ferror(out))
                return -(errno ?: EIO);
        return 0;
}
