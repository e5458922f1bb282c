/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a passphrase to a key: PBKDF2 and Argon2, and the hashes that they and LUKS are made of. Constant but for what is being
 * derived; any thread.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
        KDF_SALT_MAX = 64,
        KDF_HASH_NAME_MAX = 32,
        KDF_HASH_LEN_MAX = 64,
};

typedef enum KdfKind {
        KDF_PBKDF2,
        KDF_ARGON2I,
        KDF_ARGON2ID,
} KdfKind;

typedef struct Kdf {
        KdfKind kind;
        char hash[KDF_HASH_NAME_MAX]; /* PBKDF2 */
        uint64_t iterations;          /* PBKDF2: rounds; Argon2: passes */
        uint64_t memory;              /* Argon2: bytes */
        uint32_t lanes;               /* Argon2 */
        uint8_t salt[KDF_SALT_MAX];
        size_t salt_len;
} Kdf;

/* What trying one passphrase has cost so far; begins zeroed. */
typedef struct KdfCost {
        uint64_t iterations;
        uint64_t memory_passes;
} KdfCost;

/* Is it possible, and within limits.h together with what is in `cost`? Adds to it. EBADMSG, EOPNOTSUPP, EFBIG. */
int kdf_check(const Kdf *k, KdfCost *cost, Err *err);

/* Of one that was checked. */
int kdf_derive(
        const Kdf *k, const uint8_t *bytes, size_t len, uint8_t *ret, size_t ret_len, Err *err);

/* How long what a hash makes is. EOPNOTSUPP by name. */
int kdf_hash_len(const char *hash, size_t *ret, Err *err);

/* The hash of `number`, 4 bytes big-endian, and the bytes. Of a hash whose length was asked. */
void kdf_hash_numbered(
        const char *hash, uint32_t number, const uint8_t *bytes, size_t len, uint8_t *ret);

/* The hash of some bytes in pieces, for what is too long to lie in memory. NULL: no memory. */
typedef struct KdfHash KdfHash;
KdfHash *kdf_hash_new(const char *hash);
void kdf_hash_add(KdfHash *h, const void *bytes, size_t len);
void kdf_hash_get(KdfHash *h, uint8_t *ret);
KdfHash *kdf_hash_free(KdfHash *h);
