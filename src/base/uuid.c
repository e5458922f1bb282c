/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/uuid.h"

#include "base/hex.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Where a byte of the text lies in a GUID on disk; the same the other way round. */
static const uint8_t guid_order[UUID_LEN] = {
        3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15,
};

/* In front of which byte the text has a hyphen. */
static bool uuid_has_hyphen(size_t byte)
{
        return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

Uuid uuid_from_guid(le_guid g)
{
        Uuid u;

        for (size_t i = 0; i < UUID_LEN; i++)
                u.b[i] = g.b[guid_order[i]];
        return u;
}

le_guid uuid_to_guid(Uuid u)
{
        le_guid g;

        for (size_t i = 0; i < UUID_LEN; i++)
                g.b[guid_order[i]] = u.b[i];
        return g;
}

bool uuid_equal(const Uuid *a, const Uuid *b)
{
        return memcmp(a, b, sizeof(*a)) == 0;
}

bool uuid_is_zero(const Uuid *u)
{
        static const Uuid zero;

        return uuid_equal(u, &zero);
}

void uuid_format(const Uuid *u, char text[UUID_TEXT_LEN + 1])
{
        for (size_t i = 0; i < UUID_LEN; i++) {
                if (uuid_has_hyphen(i))
                        *text++ = '-';
                snprintf(text, 3, "%02x", u->b[i]);
                text += 2;
        }
}

bool uuid_parse(const char *text, Uuid *ret)
{
        bool braces = *text == '{';
        Uuid u;

        text += braces;
        for (size_t i = 0; i < UUID_LEN; i++) {
                if (uuid_has_hyphen(i) && *text++ != '-')
                        return false;
                int high = hex_digit(text[0]);
                int low = high < 0 ? -1 : hex_digit(text[1]);
                if (low < 0)
                        return false;
                u.b[i] = (uint8_t)(high << 4 | low);
                text += 2;
        }
        if (strcmp(text, braces ? "}" : "") != 0)
                return false;
        *ret = u;
        return true;
}

int uuid_make(Uuid *ret)
{
        Uuid u;

        if (getrandom(&u, sizeof(u), 0) != sizeof(u))
                return -errno;
        u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
        u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
        *ret = u;
        return 0;
}
