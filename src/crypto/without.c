/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A build without libgcrypt: what it refuses, it refuses in words. */
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/sector-cipher.h"

#include <errno.h>
#include <stdlib.h>

int crypto_start(Err *err)
{
        return err_set(err, EOPNOTSUPP, "this rawview was built without encryption");
}

int sector_cipher_parse(const char *text, uint32_t sector_size, SectorCipherKind *ret, Err *err)
{
        return crypto_start(err);
}

int sector_cipher_check(const SectorCipherKind *kind, size_t key_len, Err *err)
{
        return crypto_start(err);
}

int sector_cipher_new(const SectorCipherKind *kind,
                      const uint8_t *key,
                      size_t key_len,
                      SectorCipher **ret,
                      Err *err)
{
        return crypto_start(err);
}

int sector_cipher_new_qcow(const Secret *s, SectorCipher **ret, Err *err)
{
        return crypto_start(err);
}

/* There is none, so that nobody calls these. */
int sector_cipher_encrypt(SectorCipher *c, uint64_t sector, void *buf, size_t len)
{
        return -EOPNOTSUPP;
}

int sector_cipher_decrypt(SectorCipher *c, uint64_t sector, void *buf, size_t len)
{
        return -EOPNOTSUPP;
}

uint32_t sector_cipher_sector_size(const SectorCipher *c)
{
        return SECTOR_CIPHER_UNIT;
}

SectorCipher *sector_cipher_free(SectorCipher *c)
{
        return NULL;
}

int kdf_check(const Kdf *k, KdfCost *cost, Err *err)
{
        return crypto_start(err);
}

int kdf_derive(
        const Kdf *k, const uint8_t *bytes, size_t len, uint8_t *ret, size_t ret_len, Err *err)
{
        return crypto_start(err);
}

int kdf_hash_len(const char *hash, size_t *ret, Err *err)
{
        return crypto_start(err);
}

void kdf_hash_numbered(
        const char *hash, uint32_t number, const uint8_t *bytes, size_t len, uint8_t *ret)
{
}

KdfHash *kdf_hash_new(const char *hash)
{
        return NULL;
}

void kdf_hash_add(KdfHash *h, const void *bytes, size_t len)
{
}

void kdf_hash_get(KdfHash *h, uint8_t *ret)
{
}

KdfHash *kdf_hash_free(KdfHash *h)
{
        return NULL;
}
