/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names that were written on Windows, as text of ours. What is no UTF-16 (RFC 2781) is refused: two programs would read
 * two names in it. Pure; any thread.
 */
#pragma once

#include <stddef.h>

typedef enum Utf16Order {
        UTF16_LE,
        UTF16_BE,
} Utf16Order;

/* Puts the `len` bytes at `bytes` into `text` as UTF-8, with a NUL behind it. NULs at their end are padding and left
 * away. `text` and what it has room for, `size`, which is not 0, are left alone on failure: -EBADMSG for a lone
 * surrogate, a NUL with something behind it, or half a unit at the end; -ENAMETOOLONG. */
int utf16_to_utf8(Utf16Order order, const void *bytes, size_t len, char *text, size_t size);
