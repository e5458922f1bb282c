/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/err.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(Err *err, int code, const char *fmt, ...)
{
        if (err) {
                va_list args;
                va_start(args, fmt);
                errno = code;
                vsnprintf(err->text, sizeof(err->text), fmt, args);
                va_end(args);
                utf8_make_printable(err->text);
        }
        return -code;
}

int err_prefix(Err *err, int r, const char *fmt, ...)
{
        if (err) {
                char inner[sizeof(err->text)];
                memcpy(inner, err->text, sizeof(inner));

                va_list args;
                va_start(args, fmt);
                errno = r < 0 ? -r : 0;
                int n = vsnprintf(err->text, sizeof(err->text), fmt, args);
                va_end(args);

                size_t used = n < 0 ? 0 : (size_t)n;
                if (used < sizeof(err->text))
                        snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
                utf8_make_printable(err->text);
        }
        return r;
}
