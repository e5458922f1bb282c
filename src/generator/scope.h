/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For which of systemd's managers a generator works: there are two programs, each with its own scope.c, because systemd 252 does
 * not tell its generators.
 */
#pragma once

#include "base/err.h"
#include "config/search-path.h"

#include <stdbool.h>

enum {
        SCOPE_STORES_MAX = 4,
};

typedef struct Scope {
        bool is_system;
        const char *template_file; /* rawview@.service */
        /* Folders in which rawview.NAME.passphrase may lie, first the one that wins; NULL-terminated. In those of the first list
         * it is encrypted. */
        const char *encrypted_stores[SCOPE_STORES_MAX], *stores[SCOPE_STORES_MAX];
} Scope;

extern const Scope scope_of_program;

/* The folders with descriptors; none at all for root's own user manager, since what rawviewd shows for root are the
 * system's. */
int scope_fill_search_path(SearchPath *ret, Err *err);
