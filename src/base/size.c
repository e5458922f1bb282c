/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char size_units[] = "BKMGTPE";

int size_parse(const char *text, uint64_t *ret)
{
        uint64_t number = 0;
        const char *c = text;

        for (; *c >= '0' && *c <= '9'; c++)
                if (__builtin_mul_overflow(number, 10u, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(*c - '0'), &number))
                        return -ERANGE;
        if (c == text)
                return -EINVAL;

        static const char suffixes[] = "KkMmGgTt";
        if (*c) {
                const char *found = strchr(suffixes, *c);
                if (!found || c[1])
                        return -EINVAL;
                unsigned shift = ((unsigned)(found - suffixes) / 2 + 1) * 10;
                if (number > UINT64_MAX >> shift)
                        return -ERANGE;
                number <<= shift;
        }
        *ret = number;
        return 0;
}

const char *size_format(uint64_t size, char buf[SIZE_TEXT_MAX])
{
        unsigned unit = 0;
        while (unit + 1 < sizeof(size_units) - 1 && size >> (unit * 10 + 10) > 0)
                unit++;

        uint64_t whole = size >> (unit * 10);
        uint64_t rest = unit ? size & ((UINT64_C(1) << (unit * 10)) - 1) : 0;
        uint64_t tenth = unit ? (rest >> ((unit - 1) * 10)) * 10 / 1024 : 0;
        if (tenth && whole < 100)
                snprintf(buf, SIZE_TEXT_MAX, "%" PRIu64 ".%" PRIu64 "%c", whole, tenth,
                         size_units[unit]);
        else
                snprintf(buf, SIZE_TEXT_MAX, "%" PRIu64 "%c", whole, size_units[unit]);
        return buf;
}
