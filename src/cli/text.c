/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/text.h"

#include "base/cleanup.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* U+FFFD in UTF-8. */
#define REPLACEMENT "\xef\xbf\xbd"

char *text_printable(const char *text)
{
        char *clean = strdup(text);

        if (clean)
                utf8_make_printable(clean);
        return clean;
}

/* An apostrophe ends the quoted part, stands alone behind a backslash, and begins another. */
#define APOSTROPHE "'\\''"

char *text_shell_word(const char *text)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789/._+,:@%=-";
        char *clean = text_printable(text);
        bool harmless = clean && strcmp(clean, text) == 0;

        free(clean);
        if (!harmless)
                return NULL;
        if (*text && text[strspn(text, plain)] == '\0')
                return strdup(text);
        char *word = malloc(strlen(text) * strlen(APOSTROPHE) + 3), *end = word;
        if (!word)
                return NULL;
        *end++ = '\'';
        for (; *text; text++)
                if (*text == '\'')
                        end = stpcpy(end, APOSTROPHE);
                else
                        *end++ = *text;
        strcpy(end, "'");
        return word;
}

char *text_utf8(const char *text)
{
        char *clean = malloc(strlen(text) * strlen(REPLACEMENT) + 1);
        char *end = clean;

        while (clean && *text) {
                uint32_t c = 0;
                size_t len = utf8_length(text, &c);
                end = len == 0 ? stpcpy(end, REPLACEMENT) : mempcpy(end, text, len);
                text += len > 0 ? len : 1;
        }
        if (clean)
                *end = '\0';
        return clean;
}

void text_print_json(const char *json)
{
        while (*json) {
                uint32_t c = 0;
                size_t len = utf8_length(json, &c);
                if (len == 0)
                        fputs(REPLACEMENT, stdout);
                else if (c != '\n' && utf8_is_control(c))
                        printf("\\u%04x", c);
                else
                        fwrite(json, 1, len, stdout);
                json += len > 0 ? len : 1;
        }
        putchar('\n');
}

char *text_size(unsigned long long bytes)
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double number = (double)bytes;
        size_t unit = 0;
        char *text = NULL;

        for (; number >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
                number /= 1024;
        return asprintf(&text, "%.3g %s", number, units[unit]) < 0 ? NULL : text;
}

char *text_beside(const char *namer, const char *name)
{
        const char *slash = strrchr(namer, '/');
        bool is_protocol = name[strcspn(name, ":/")] == ':';
        char *text = NULL;

        if (name[0] == '/' || is_protocol || !slash)
                return strdup(name);
        int n = asprintf(&text, "%.*s%s", (int)(slash - namer) + 1, namer, name);
        return n < 0 ? NULL : text;
}
