/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder that systemd gives a generator to fill, see systemd.generator(7). It is empty before, and nobody else writes
 * to it. One thread.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>

typedef struct Output {
        int fd;
        const char *path; /* the caller's */
} Output;

#define OUTPUT_NONE       \
        (Output)          \
        {                 \
                .fd = -1, \
        }

int output_open(const char *path, Output *ret, Err *err);

/* Makes FOLDER, unless it is there, and FILE in it, which must not be there. */
int output_write(const Output *o,
                 const char *folder,
                 const char *file,
                 const char *text,
                 size_t len,
                 Err *err);

/* Makes FOLDER, unless it is there, and in it a symbolic link to `target`. */
int output_link(
        const Output *o, const char *folder, const char *name, const char *target, Err *err);

void output_done(Output *o);
#define _cleanup_output_ __attribute__((cleanup(output_done)))
