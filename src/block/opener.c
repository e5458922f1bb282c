/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/opener.h"

#include <errno.h>

enum {
        /* More than anybody has who answers; the bound is against an opener that never says no. */
        OPENER_TRIES_MAX = 8,
};

static int opener_try(Opener *o, Store *of, const char *what, OpenerFits fits, void *arg, Err *err)
{
        _cleanup_secret_ Secret *s = NULL;

        int r = o->get_secret(o, of, what, &s, err);
        if (r < 0)
                return r;
        r = fits(arg, s, err);
        /* Another one may. */
        return r == -EKEYREJECTED ? 1 : r;
}

int opener_unlock(Opener *o, Store *of, const char *what, OpenerFits fits, void *arg, Err *err)
{
        int r = 1;

        if (!o || !o->get_secret)
                return err_set(err, ENOKEY, "a passphrase is needed, and there is nobody to ask");
        for (int i = 0; r > 0 && i < OPENER_TRIES_MAX; i++)
                r = opener_try(o, of, what, fits, arg, err);
        return r > 0 ? err_set(err, EKEYREJECTED, "wrong passphrase") : r;
}
