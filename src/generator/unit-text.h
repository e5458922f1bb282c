/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Paths and names in the files of systemd's units: what is written is one value on one line, which systemd reads back as
 * the very same text. Pure; any thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

/* False: no unit can say it. That is what is no UTF-8, or has control characters in it, a newline above all. */
bool unit_text_is_sayable(const char *text);

/* A value that is the rest of its line: only '%' means something else there. It must be sayable, and neither begin nor end
 * with a blank or a backslash, as nothing does that begins with '/' and ends with what we chose. */
void unit_text_put(FILE *out, const char *text);

/* A value that is one word of several, in quotes. It must be sayable. */
void unit_text_put_word(FILE *out, const char *text);

/* The unit of a device, "dev-disk-by\x2did-x.device" for /dev/disk/by-id/x. EINVAL: the path has ".." in it, or none but
 * slashes. free() *ret. */
int unit_text_name_device(const char *path, char **ret, Err *err);
