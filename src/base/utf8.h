/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of a text may be shown. Names and sentences come from images, and a terminal obeys what it is shown: control
 * characters, of which UTF-8 has more than ASCII, would move its cursor or begin a line that looks like another
 * program's. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed character at `s` (RFC 3629), 0 if there is none. *ret is its number. */
size_t utf8_length(const char *s, uint32_t *ret);

/* Acts on whoever shows it instead of being shown: controls, line separators, what changes the direction of writing. */
bool utf8_is_control(uint32_t c);

/* In place: what is a control and each byte that is no UTF-8 becomes '?'. The text gets no longer by that. */
void utf8_make_printable(char *text);
