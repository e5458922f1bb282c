/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From all descriptors of a search path to what systemd has to know of them before it starts anything. What is wrong
 * with one descriptor is a warning and costs the others nothing. One thread.
 */
#pragma once

#include "config/search-path.h"
#include "generator/output.h"
#include "generator/scope.h"

#include <stdbool.h>

typedef struct Generator {
        const Scope *scope;
        const char *const *folders; /* the search path */
        const Output *output;
        bool has_device_units;
        unsigned warnings; /* so far */
} Generator;

/* Whether systemd has units for devices here, which it has not in containers. */
bool generator_finds_device_units(void);

/* Only what keeps us from going on at all is an error. */
int generator_run(Generator *g, Err *err);
