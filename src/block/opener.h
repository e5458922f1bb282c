/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only way from a name inside an image to an open file, and from an encrypted image to its passphrase. Implementations:
 * opener/ asks through ipc; the tests' resolve under a policy of their own. A driver never opens. The thread that opens
 * the image.
 */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "store/store.h"

typedef struct Opener Opener;

struct Opener {
        /* Opens the plain path `name`, as it stands in the image whose main file is `namer` (relative names are
         * relative to that file's folder). EACCES with a text when policy refuses. */
        int (*open)(
                Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err);

        /* For drivers there is opener_unlock(). Gets a passphrase for the image whose main file is `of`; `what` is a short
         * word that says to a person what wants it ("luks"). Asked again for the same image, the last one did not fit.
         * ENOKEY: there is none. EKEYREJECTED: there is no other one. May be NULL: there is nobody to ask. */
        int (*get_secret)(Opener *o, Store *of, const char *what, Secret **ret, Err *err);
};

/* Tries a passphrase: 0 it fits, -EKEYREJECTED it does not and another one may; anything else ends the trying. Keeps no copy of
 * `s`, and whatever it derives is the driver's to wipe. */
typedef int (*OpenerFits)(void *arg, const Secret *s, Err *err);

/* For drivers, in open: tries passphrases for the image in `of` until one fits, and forgets each. 0, or why none does: ENOKEY,
 * EKEYREJECTED, or what `fits` said. `o` may be NULL. */
int opener_unlock(Opener *o, Store *of, const char *what, OpenerFits fits, void *arg, Err *err);
