/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only way from a name inside an image to an open file. Implementations: opener/ asks a broker
 * through ipc; the tests' resolve under a policy of their own. A driver never opens.
 */
#pragma once

#include "base/err.h"
#include "store/store.h"

typedef struct Opener Opener;

struct Opener {
        /* Opens the plain path `name`, as it stands in the image whose main file is `namer` (relative names are
         * relative to that file's folder). EACCES with a text when policy refuses. */
        int (*open)(
                Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err);
};
