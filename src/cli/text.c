/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/text.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* U+FFFD in UTF-8. */
#define REPLACEMENT "\xef\xbf\xbd"

/* Length of the well-formed UTF-8 character at `s` (RFC 3629), 0 if there is none. *ret is its number. */
static size_t utf8_length(const uint8_t *s, uint32_t *ret)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        uint32_t c = len == 1 ? s[0] : s[0] & (0xffu >> (len + 1));

        if (len == 0 || s[0] > 0xf4)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return len;
}

static bool is_control(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static char *text_clean(const char *text, const char *malformed, bool keep_controls)
{
        char *clean = malloc(strlen(text) * strlen(malformed) + 1);
        char *end = clean;

        while (clean && *text) {
                uint32_t c = 0;
                size_t len = utf8_length((const uint8_t *)text, &c);
                if (len == 0)
                        end = stpcpy(end, malformed);
                else if (is_control(c) && !keep_controls)
                        *end++ = '?';
                else
                        end = mempcpy(end, text, len);
                text += len > 0 ? len : 1;
        }
        if (clean)
                *end = '\0';
        return clean;
}

char *text_printable(const char *text)
{
        return text_clean(text, "?", false);
}

char *text_utf8(const char *text)
{
        return text_clean(text, REPLACEMENT, true);
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
