/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a person at a terminal is told of a view that has just come up, and what can be typed next. One thread.
 */
#pragma once

#include <stdbool.h>

typedef struct FoundView {
        const char *image; /* as the person has named it */
        const char *path;
        bool is_folder; /* of the disk and its partitions */
        bool has_loop;  /* a loop device was attached, and its nodes were printed */
} FoundView;

/* On stderr. */
void found_tell(const FoundView *view);
