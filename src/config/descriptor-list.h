/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names of all descriptors that a search path has: for who wants them all, and not the one that somebody has
 * named. Owned by whoever read it; one thread.
 */
#pragma once

#include "config/config.h"

typedef struct DescriptorList {
        char **names; /* each once, sorted; NULL-terminated, or NULL */
        size_t count;
} DescriptorList;

/* Names alone: no descriptor is opened, and one that is there may be masked, broken, a folder or somebody else's. What is
 * left out is told to `warn`: a folder that cannot be listed, or to which others could lead us; a name that none can have;
 * a file that something is mounted over, which may be a view whose server does not answer. ENOMEM. */
int descriptor_list_read(
        const char *const *folders, ConfigWarn warn, void *arg, DescriptorList *ret, Err *err);

void descriptor_list_done(DescriptorList *l);
#define _cleanup_descriptor_list_ __attribute__((cleanup(descriptor_list_done)))
