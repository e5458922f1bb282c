/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Texts of images on their way to a person or a program. They are hostile: an image may be called anything, and a
 * terminal obeys what it is shown. Functions that return a text give new memory (free() it), or NULL when
 * there is none.
 */
#pragma once

/* For a terminal: control characters and what is no UTF-8 become '?'. */
char *text_printable(const char *text);

/* As one word of a shell's command line, in quotes where that is needed. NULL, too, for what a terminal would not show as it is. */
char *text_shell_word(const char *text);

/* For JSON, which is UTF-8: what is not becomes U+FFFD. */
char *text_utf8(const char *text);

/* Prints JSON as it came from json-c, and a newline: what a terminal would obey is escaped, what is no UTF-8 becomes
 * U+FFFD. Neither stands anywhere but in strings. */
void text_print_json(const char *json);

/* "10 MiB": three digits and a binary unit, as qemu-img prints it. */
char *text_size(unsigned long long bytes);

/* `name` as it stands in the file called `namer`: a relative one begins in that file's folder. What is no plain path
 * ("nbd:…") stays as it is. */
char *text_beside(const char *namer, const char *name);
