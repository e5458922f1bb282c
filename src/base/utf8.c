/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/utf8.h"

#include <string.h>

size_t utf8_length(const char *s, uint32_t *ret)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const uint8_t *bytes = (const uint8_t *)s;
        uint8_t first = bytes[0];
        size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        uint32_t c = len == 1 ? first : first & (0xffu >> (len + 1));

        if (len == 0 || first > 0xf4)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((bytes[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (bytes[i] & 0x3f);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return len;
}

bool utf8_is_control(uint32_t c)
{
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                { 0x00, 0x1f },
                /* DEL, and the second set of controls: U+009B is ESC [ to many terminals. */
                { 0x7f, 0x9f },
                /* ARABIC LETTER MARK; LEFT-TO-RIGHT MARK, RIGHT-TO-LEFT MARK */
                { 0x61c, 0x61c },
                { 0x200e, 0x200f },
                /* separators of lines and paragraphs, embeddings, overrides, isolates */
                { 0x2028, 0x202e },
                { 0x2066, 0x2069 },
        };

        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

void utf8_make_printable(char *text)
{
        char *to = text;

        for (const char *from = text; *from;) {
                uint32_t c = 0;
                size_t len = utf8_length(from, &c);
                if (len == 0 || utf8_is_control(c)) {
                        *to++ = '?';
                } else {
                        memmove(to, from, len);
                        to += len;
                }
                from += len > 0 ? len : 1;
        }
        *to = '\0';
}
