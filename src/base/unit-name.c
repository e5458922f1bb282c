/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/unit-name.h"

#include <ctype.h>

void unit_name_put(FILE *out, char c, bool first)
{
        if (c == '/')
                fputc('-', out);
        else if (isalnum((unsigned char)c) || c == ':' || c == '_' || (c == '.' && !first))
                fputc(c, out);
        else
                fprintf(out, "\\x%02x", (unsigned char)c);
}
