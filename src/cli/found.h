/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a person at a terminal is told of a view that has just come up, and what can be typed next. One thread.
 */
#pragma once

/* On stderr. `image` is as the person has named it. */
void found_tell(const char *image, const char *view);
