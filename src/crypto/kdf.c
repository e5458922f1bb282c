/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/kdf.h"

#include "base/bits.h"
#include "base/disk-int.h"
#include "base/memory-limit.h"
#include "crypto/crypto.h"
#include "crypto/limits.h"

#include <errno.h>
#include <gcrypt.h>
#include <inttypes.h>
#include <string.h>

_Static_assert(LIMIT_KDF_MEMORY < MEMORY_LIMIT_BURST, "a worker may have it for a while");

enum {
        /* A block of Argon2, and how few there may be for each lane. */
        ARGON2_BLOCK = 1024,
        ARGON2_LANE_BLOCKS_MIN = 8,
        ARGON2_SALT_MIN = 8,
        /* Beside the blocks themselves. */
        ARGON2_EXTRA = 1 << 20,
};

int kdf_hash_len(const char *hash, size_t *ret, Err *err)
{
        int r = crypto_start(err);
        if (r < 0)
                return r;
        int algorithm = gcry_md_map_name(hash);
        if (algorithm == 0 || gcry_md_test_algo(algorithm) != 0)
                return err_set(err, EOPNOTSUPP, "the hash '%s' is not supported", hash);
        size_t len = gcry_md_get_algo_dlen(algorithm);
        if (len == 0 || len > KDF_HASH_LEN_MAX)
                return err_set(err, EOPNOTSUPP, "the hash '%s' has no fixed length", hash);
        *ret = len;
        return 0;
}

static int kdf_check_pbkdf2(const Kdf *k, KdfCost *cost, Err *err)
{
        size_t len;

        int r = kdf_hash_len(k->hash, &len, err);
        if (r < 0)
                return r;
        if (k->iterations == 0)
                return err_set(err, EBADMSG, "PBKDF2 with 0 iterations");
        if (k->iterations > LIMIT_KDF_ITERATIONS ||
            cost->iterations + k->iterations > LIMIT_KDF_ITERATIONS)
                return err_set(err, EFBIG,
                               "%" PRIu64
                               " iterations of PBKDF2, with which a passphrase would take more "
                               "than the limit of %" PRIu64,
                               k->iterations, LIMIT_KDF_ITERATIONS);
        cost->iterations += k->iterations;
        return 0;
}

static int kdf_check_argon2(const Kdf *k, KdfCost *cost, Err *err)
{
        int r = crypto_start(err);
        if (r < 0)
                return r;
        if (k->iterations == 0 || k->lanes == 0 || k->salt_len < ARGON2_SALT_MIN)
                return err_set(err, EBADMSG,
                               "Argon2 with time %" PRIu64 ", cpus %u and a salt of %zu bytes",
                               k->iterations, k->lanes, k->salt_len);
        if (k->lanes > LIMIT_KDF_LANES)
                return err_set(err, EFBIG, "Argon2 with cpus %u, more than the limit of %d",
                               k->lanes, LIMIT_KDF_LANES);
        if (k->memory > LIMIT_KDF_MEMORY)
                return err_set(err, EFBIG,
                               "Argon2 with %" PRIu64 " bytes of memory, more than the limit of "
                               "%" PRIu64,
                               k->memory, LIMIT_KDF_MEMORY);
        if (k->memory < (uint64_t)k->lanes * ARGON2_LANE_BLOCKS_MIN * ARGON2_BLOCK)
                return err_set(err, EBADMSG,
                               "Argon2 with %" PRIu64 " bytes of memory, too few for cpus %u",
                               k->memory, k->lanes);
        if (k->iterations > LIMIT_KDF_MEMORY_PASSES / k->memory ||
            cost->memory_passes + k->iterations * k->memory > LIMIT_KDF_MEMORY_PASSES)
                return err_set(err, EFBIG,
                               "Argon2 with time %" PRIu64 " over %" PRIu64
                               " bytes, with which a passphrase would take more than the limit of "
                               "%" PRIu64 " bytes in all",
                               k->iterations, k->memory, LIMIT_KDF_MEMORY_PASSES);
        cost->memory_passes += k->iterations * k->memory;
        return 0;
}

int kdf_check(const Kdf *k, KdfCost *cost, Err *err)
{
        return k->kind == KDF_PBKDF2 ? kdf_check_pbkdf2(k, cost, err)
                                     : kdf_check_argon2(k, cost, err);
}

/* One thread does the work of all lanes: what comes out is the same. */
static gcry_error_t kdf_run_argon2(
        const Kdf *k, const uint8_t *bytes, size_t len, uint8_t *ret, size_t ret_len)
{
        int kind = k->kind == KDF_ARGON2I ? GCRY_KDF_ARGON2I : GCRY_KDF_ARGON2ID;
        unsigned long params[] = { ret_len, k->iterations, k->memory / ARGON2_BLOCK, k->lanes };
        gcry_kdf_hd_t h = NULL;

        gcry_error_t e = gcry_kdf_open(&h, GCRY_KDF_ARGON2, kind, params, 4, bytes, len, k->salt,
                                       k->salt_len, NULL, 0, NULL, 0);
        if (e != 0)
                return e;
        e = gcry_kdf_compute(h, NULL);
        if (e == 0)
                e = gcry_kdf_final(h, ret_len, ret);
        gcry_kdf_close(h);
        return e;
}

static int kdf_derive_argon2(
        const Kdf *k, const uint8_t *bytes, size_t len, uint8_t *ret, size_t ret_len, Err *err)
{
        MemoryLimit before;

        int r = memory_limit_raise(k->memory + ARGON2_EXTRA, &before);
        if (r < 0)
                return err_set(err, -r, "cannot have more memory for a while: %m");
        gcry_error_t e = kdf_run_argon2(k, bytes, len, ret, ret_len);
        memory_limit_restore(&before);
        if (gcry_err_code(e) == GPG_ERR_ENOMEM)
                return err_set(err, ENOMEM,
                               "there is no memory for the %" PRIu64 " bytes that Argon2 wants",
                               k->memory);
        return e == 0 ? 0 : err_set(err, EOPNOTSUPP, "libgcrypt: Argon2: %s", gcry_strerror(e));
}

int kdf_derive(
        const Kdf *k, const uint8_t *bytes, size_t len, uint8_t *ret, size_t ret_len, Err *err)
{
        if (k->kind != KDF_PBKDF2)
                return kdf_derive_argon2(k, bytes, len, ret, ret_len, err);

        gcry_error_t e =
                gcry_kdf_derive(bytes, len, GCRY_KDF_PBKDF2, gcry_md_map_name(k->hash), k->salt,
                                k->salt_len, (unsigned long)k->iterations, ret_len, ret);
        return e == 0 ? 0 : err_set(err, EOPNOTSUPP, "libgcrypt: PBKDF2: %s", gcry_strerror(e));
}

void kdf_hash_numbered(
        const char *hash, uint32_t number, const uint8_t *bytes, size_t len, uint8_t *ret)
{
        be32 counter = to_be32(number);
        gcry_buffer_t parts[] = {
                { .data = &counter, .len = sizeof(counter) },
                { .data = (void *)bytes, .len = len },
        };

        gcry_md_hash_buffers(gcry_md_map_name(hash), 0, ret, parts, 2);
}

KdfHash *kdf_hash_new(const char *hash)
{
        gcry_md_hd_t h = NULL;
        if (gcry_md_open(&h, gcry_md_map_name(hash), 0) != 0)
                return NULL;
        return (KdfHash *)h;
}

void kdf_hash_add(KdfHash *h, const void *bytes, size_t len)
{
        gcry_md_write((gcry_md_hd_t)h, bytes, len);
}

void kdf_hash_get(KdfHash *h, uint8_t *ret)
{
        gcry_md_hd_t md = (gcry_md_hd_t)h;
        memcpy(ret, gcry_md_read(md, 0), gcry_md_get_algo_dlen(gcry_md_get_algo(md)));
}

KdfHash *kdf_hash_free(KdfHash *h)
{
        gcry_md_close((gcry_md_hd_t)h);
        return NULL;
}
