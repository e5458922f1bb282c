/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/secret.h"

#include <errno.h>
#include <string.h>

int fake_get_secret(Opener *o, Store *of, const char *what, Secret **ret, Err *err)
{
        Secret *s = secret_new();
        if (!s)
                return err_set(err, ENOMEM, "%m");
        s->len = strlen(FAKE_PASSPHRASE);
        memcpy(s->bytes, FAKE_PASSPHRASE, s->len);
        *ret = s;
        return 0;
}

static int fake_refuse(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        return err_set(err, ENOENT, "'%s' is not there: nothing is", name);
}

Opener fake_key_opener = { .open = fake_refuse, .get_secret = fake_get_secret };
