/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A descriptor as a whole: NAME.image, in the first folder of a search path that has one, and after it the drop-ins
 * NAME.image.d/…conf of all folders. Owned by whoever read it; one thread.
 */
#pragma once

#include "config/config.h"

typedef struct Descriptor {
        /* What was read, in this order; NULL-terminated. The first is NAME.image. */
        char **files;
        bool masked; /* descriptor_read has failed because of that, and of nothing else */
} Descriptor;

/* What may stand before ".image", and for a unit's instance: UTF-8 without control characters and '/', not too long, no
 * '.' at its start. */
bool descriptor_name_is_valid(const char *name);

/* `folders` is NULL-terminated; one that does not exist is none. Drop-ins are read in the order of their file names; of
 * those with the same name the one in the first folder counts. A link to /dev/null masks what has its name further
 * back. ENOENT: there is no NAME.image, and the text names the folders. What is there and must not be believed (see
 * config_read), or cannot be read, is an error. */
int descriptor_read(Config *c,
                    const char *const *folders,
                    const char *name,
                    ConfigWarn warn,
                    void *arg,
                    Descriptor *ret,
                    Err *err);

void descriptor_done(Descriptor *d);
#define _cleanup_descriptor_ __attribute__((cleanup(descriptor_done)))
