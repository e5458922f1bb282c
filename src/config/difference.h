/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a descriptor says differently from when its view was started, key by key of the table, and what that means for
 * the view that is up. Pure; both Configs are settled and belong to the caller.
 */
#pragma once

#include "config/config.h"

typedef struct ConfigDifference {
        size_t index; /* of config_get_setting */
        const char *section, *key;
        ConfigEffect effect;
        const char *
                source; /* of the value that is wanted, `wanted`'s; NULL: it is the default again */
} ConfigDifference;

/* Defaults that follow from another key are those that the view has: only a restart changes that key. Comes before
 * config_compare. */
void config_keep_defaults(const Config *shown, Config *wanted);

/* All keys that differ, in the order of the table. What is a default in both is no difference, even where it follows from
 * a key that is. ENOMEM. */
int config_compare(const Config *shown,
                   const Config *wanted,
                   ConfigDifference ret[CONFIG_KEYS_MAX],
                   size_t *ret_count);

/* From now on this is how the view is: moves that one value. */
void config_adopt(Config *shown, Config *wanted, const ConfigDifference *d);
