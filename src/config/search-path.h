/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folders in which descriptors lie, first the one that wins. Those of the system are fixed; those of a user come
 * from the environment, and from the user database where it does not say what is home. Owned by whoever filled it; one thread.
 */
#pragma once

#include "base/err.h"

enum {
        SEARCH_PATH_MAX = 4,
};

typedef struct SearchPath {
        /* Absolute; NULL-terminated. */
        char *folders[SEARCH_PATH_MAX + 1];
} SearchPath;

/* For what root starts: nothing in the environment has a say. Both overwrite *ret, and leave it empty on failure. */
int search_path_fill_system(SearchPath *ret, Err *err);

/* For an ordinary user. A variable that is no absolute path counts as not set. */
int search_path_fill_user(SearchPath *ret, Err *err);

void search_path_done(SearchPath *s);
#define _cleanup_search_path_ __attribute__((cleanup(search_path_done)))
