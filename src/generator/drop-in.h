/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a descriptor means for the unit of its view, as a drop-in of that unit. No image is looked at, nor anything else
 * that the descriptor names. One thread.
 */
#pragma once

#include "config/config.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct DropIn {
        const Config *config;   /* not settled; it has a path */
        const char *source;     /* the file NAME.image */
        const char *credential; /* a file with the passphrase, or NULL */
        bool credential_is_encrypted;
        bool has_device_units;  /* a device can be waited for */
        bool has_device_policy; /* the unit may use no device that is not named */
} DropIn;

/* What no unit can say is left out, and told to `warn`. EINVAL: it cannot even be said which descriptor it is. */
int drop_in_put(FILE *out, const DropIn *d, ConfigWarn warn, void *arg, Err *err);
