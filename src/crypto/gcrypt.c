/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libgcrypt keeps keys, and what it makes of a passphrase, in memory that it gives back as it is. So its memory comes from here,
 * and is wiped before it is given back. Nothing random is ever asked of it: its pool would open a device.
 */
#include "crypto/crypto.h"

#include <errno.h>
#include <gcrypt.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The oldest one with Argon2. */
#define CRYPTO_GCRYPT_VERSION "1.10.0"

static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;

static void crypto_free(void *p)
{
        if (!p)
                return;
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

static void *crypto_realloc(void *p, size_t len)
{
        if (!p)
                return malloc(len);

        void *grown = malloc(len);
        if (!grown)
                return NULL;
        size_t old = malloc_usable_size(p);
        memcpy(grown, p, old < len ? old : len);
        crypto_free(p);
        return grown;
}

/* Nothing is locked in memory: what has to be is a Secret. */
static int crypto_is_secure(const void *p)
{
        return 0;
}

static void crypto_start_once(void)
{
        gcry_set_allocation_handler(malloc, malloc, crypto_is_secure, crypto_realloc, crypto_free);
        if (!gcry_check_version(CRYPTO_GCRYPT_VERSION))
                return;
        gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

int crypto_start(Err *err)
{
        pthread_once(&crypto_once, crypto_start_once);
        if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
                return err_set(
                        err, EOPNOTSUPP,
                        "the libgcrypt of this machine is older than " CRYPTO_GCRYPT_VERSION);
        return 0;
}
