/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text behind -o, "NAME[=VALUE],…", as mount(8) has it: commas in double quotes or behind a backslash belong to a
 * word. Pure; any thread.
 */
#pragma once

#include <stdbool.h>

/* Takes the next word out of *text into `word`, which has room for as much as *text and a zero, without its quotes and
 * backslashes, and moves *text behind it. 1; 0: there is none left; -EINVAL: a quote is not closed. */
int mount_words_next(const char **text, char *word);

/* Is it for mount(8), systemd or the kernel alone, and nothing to us? `name` without its value, if it has one: "owner" lets a
 * user mount, "owner=alice" is ours. */
bool mount_word_is_ignored(const char *name, bool has_value);
