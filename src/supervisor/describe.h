/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `rawviewd --check` prints: the files of a descriptor, and each key with its value and where that was said. The
 * JSON is printed here because the supervisor links no parser of it. One thread.
 */
#pragma once

#include "config/config.h"
#include "config/descriptor.h"

#include <stdio.h>

typedef enum DescribeShape {
        DESCRIBE_HUMAN,
        DESCRIBE_JSON,
} DescribeShape;

/* `c` is settled. `name` and `d->files` may be NULL: a view without a descriptor. ENOMEM, or why it cannot be written. */
int describe_print(
        FILE *out, const char *name, const Config *c, const Descriptor *d, DescribeShape shape);
