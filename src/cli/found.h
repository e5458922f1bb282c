/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a person at a terminal is told of a view that has just come up, and what can be typed next. One thread.
 */
#pragma once

#include <stdbool.h>

/* On stderr. `image` is as the person has named it; `has_loop`: a loop device was attached, and its nodes were printed. */
void found_tell(const char *image, const char *view, bool has_loop);
