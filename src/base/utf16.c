/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/utf16.h"

#include <errno.h>
#include <stdint.h>

static uint32_t utf16_unit(Utf16Order order, const uint8_t *at)
{
        return order == UTF16_LE ? (uint32_t)(at[0] | at[1] << 8) : (uint32_t)(at[0] << 8 | at[1]);
}

/* How many of the bytes at `at`, of which there are `len`, are one character; 0: they begin with none. */
static size_t utf16_character(Utf16Order order, const uint8_t *at, size_t len, uint32_t *ret)
{
        uint32_t high = utf16_unit(order, at);

        if (high < 0xd800 || high > 0xdfff) {
                *ret = high;
                return high == 0 ? 0 : 2;
        }
        if (high > 0xdbff || len < 4)
                return 0;
        uint32_t low = utf16_unit(order, at + 2);
        if (low < 0xdc00 || low > 0xdfff)
                return 0;
        *ret = 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
        return 4;
}

/* The character as UTF-8; its length. */
static size_t utf16_encode(uint32_t c, uint8_t *ret)
{
        if (c < 0x80) {
                ret[0] = (uint8_t)c;
                return 1;
        }
        size_t count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = count - 1; i > 0; i--, c >>= 6)
                ret[i] = (uint8_t)(0x80 | (c & 0x3f));
        ret[0] = (uint8_t)((0xf00u >> count & 0xff) | c);
        return count;
}

/* Goes through all characters and gives the length of the text; `text` NULL: only that. */
static int utf16_walk(Utf16Order order, const uint8_t *bytes, size_t len, char *text, size_t *ret)
{
        size_t done = 0;

        for (size_t at = 0; at < len;) {
                uint8_t utf8[4];
                uint32_t c = 0;
                size_t step = utf16_character(order, bytes + at, len - at, &c);
                if (step == 0)
                        return -EBADMSG;
                size_t count = utf16_encode(c, utf8);
                for (size_t i = 0; text && i < count; i++)
                        text[done + i] = (char)utf8[i];
                done += count;
                at += step;
        }
        *ret = done;
        return 0;
}

int utf16_to_utf8(Utf16Order order, const void *bytes, size_t len, char *text, size_t size)
{
        const uint8_t *at = bytes;
        size_t needed = 0;

        if (len % 2 != 0)
                return -EBADMSG;
        while (len > 0 && utf16_unit(order, at + len - 2) == 0)
                len -= 2;
        int r = utf16_walk(order, at, len, NULL, &needed);
        if (r < 0)
                return r;
        if (needed >= size)
                return -ENAMETOOLONG;
        r = utf16_walk(order, at, len, text, &needed);
        text[needed] = '\0';
        return r;
}
