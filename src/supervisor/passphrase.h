/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a passphrase lies without anybody being asked. In this order: KeyFile=; the credential rawview.passphrase, which the
 * service manager has put into $CREDENTIALS_DIRECTORY; NAME.key in keys.d beside the descriptors. The first that is there
 * counts, and one that is there and cannot be used is never passed over. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"
#include "base/secret.h"

#include <stddef.h>

enum {
        PASSPHRASE_FROM_MAX = 4096 + 64,
};

/* Borrowed. */
typedef struct PassphraseSources {
        const char *key_file; /* NULL: not given */
        const char *instance; /* the descriptor's name; NULL: there is none, and so no keys.d */
        PathRule rule;        /* for KeyFile=; the others must be trusted */
} PassphraseSources;

/* 1: found, and `from` says where, for people. 0: there is none anywhere. Read anew each time. The sentence of a failure begins
 * with the place. */
int passphrase_find(const PassphraseSources *sources,
                    Secret **ret,
                    char from[PASSPHRASE_FROM_MAX],
                    Err *err);

/* How one can be given, for the end of a sentence. */
void passphrase_explain(const PassphraseSources *sources, char *ret, size_t size);
