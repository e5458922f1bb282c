/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of the terminal that a person sits at, and how wide texts are there. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* To be called before the functions below. Widths are those of Unicode, whatever the locale is. */
void terminal_prepare(void);

/* Columns of the terminal behind this descriptor; 0: it is none. */
size_t terminal_width(int fd);

/* Lines; 0: it is none, or they are not known. */
size_t terminal_height(int fd);

/* Is it one that shows colours, and does its owner want them (NO_COLOR, TERM=dumb)? */
bool terminal_has_colour(int fd);

/* Columns that a printable text takes. */
size_t terminal_text_width(const char *text);

/* `text` in at most `width` columns: what is too long loses its middle, and "…" stands there, since a path says most at its
 * end. free() it; NULL: no memory. */
char *terminal_shorten(const char *text, size_t width);
