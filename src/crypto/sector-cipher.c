/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By libgcrypt, which is faster than libcrypto at this length: docs/formats/luks.md. */
#include "crypto/sector-cipher.h"

#include "base/cleanup.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdatomic.h>
#include <string.h>

enum {
        /* A handle remembers where it is, so that one call uses it at a time: as many as a view has threads. */
        CIPHER_SETS = 16,
        CIPHER_BLOCK_MAX = 16,
        QCOW_KEY_LEN = 16,
};

typedef enum CipherVector {
        VECTOR_NONE,      /* ecb */
        VECTOR_PLAIN,     /* the number, 32 bits, little-endian */
        VECTOR_PLAIN64,   /* 64 bits */
        VECTOR_PLAIN64BE, /* 64 bits, big-endian, at the end */
        VECTOR_ESSIV,     /* plain64, encrypted with a hash of the key */
        VECTOR_NULL,
} CipherVector;

/* One algorithm of libgcrypt takes keys of one length. */
typedef struct CipherAlgorithm {
        const char *name;
        size_t key_len;
        int algorithm;
} CipherAlgorithm;

static const CipherAlgorithm cipher_algorithms[] = {
        { "aes", 16, GCRY_CIPHER_AES128 },           { "aes", 24, GCRY_CIPHER_AES192 },
        { "aes", 32, GCRY_CIPHER_AES256 },           { "serpent", 16, GCRY_CIPHER_SERPENT128 },
        { "serpent", 24, GCRY_CIPHER_SERPENT192 },   { "serpent", 32, GCRY_CIPHER_SERPENT256 },
        { "twofish", 16, GCRY_CIPHER_TWOFISH128 },   { "twofish", 32, GCRY_CIPHER_TWOFISH },
        { "camellia", 16, GCRY_CIPHER_CAMELLIA128 }, { "camellia", 24, GCRY_CIPHER_CAMELLIA192 },
        { "camellia", 32, GCRY_CIPHER_CAMELLIA256 }, { "cast5", 16, GCRY_CIPHER_CAST5 },
};

typedef struct CipherMode {
        const char *name;
        int mode;
        CipherVector vector;
} CipherMode;

/* What follows "essiv:" is the hash. Blocks of ecb know no vectors, of which its name tells all the same in an image by QEMU. */
static const CipherMode cipher_modes[] = {
        { "xts-plain64", GCRY_CIPHER_MODE_XTS, VECTOR_PLAIN64 },
        { "xts-plain", GCRY_CIPHER_MODE_XTS, VECTOR_PLAIN },
        { "xts-plain64be", GCRY_CIPHER_MODE_XTS, VECTOR_PLAIN64BE },
        { "xts-essiv:", GCRY_CIPHER_MODE_XTS, VECTOR_ESSIV },
        { "cbc-plain64", GCRY_CIPHER_MODE_CBC, VECTOR_PLAIN64 },
        { "cbc-plain", GCRY_CIPHER_MODE_CBC, VECTOR_PLAIN },
        { "cbc-plain64be", GCRY_CIPHER_MODE_CBC, VECTOR_PLAIN64BE },
        { "cbc-essiv:", GCRY_CIPHER_MODE_CBC, VECTOR_ESSIV },
        { "cbc-null", GCRY_CIPHER_MODE_CBC, VECTOR_NULL },
        { "ecb", GCRY_CIPHER_MODE_ECB, VECTOR_NONE },
        { "ecb-plain64", GCRY_CIPHER_MODE_ECB, VECTOR_NONE },
        { "ecb-plain", GCRY_CIPHER_MODE_ECB, VECTOR_NONE },
        { "ecb-essiv:", GCRY_CIPHER_MODE_ECB, VECTOR_NONE },
};

/* What a kind and a length of key come to. */
typedef struct CipherPlan {
        const CipherAlgorithm *algorithm;
        const CipherMode *mode;
        const CipherAlgorithm *essiv; /* NULL: there is none */
        int essiv_hash;
} CipherPlan;

typedef struct CipherSet {
        pthread_mutex_t lock;    /* guards the handles */
        gcry_cipher_hd_t handle; /* owned */
        gcry_cipher_hd_t essiv;  /* owned; NULL: there is none */
} CipherSet;

struct SectorCipher {
        /* Fixed. */
        uint32_t sector_size;
        CipherVector vector;
        size_t block_len;
        size_t set_count;
        CipherSet sets[CIPHER_SETS];

        atomic_uint turn;
};

static bool cipher_starts_with(const char *text, const char *start)
{
        return strncmp(text, start, strlen(start)) == 0;
}

static const CipherMode *cipher_find_mode(const char *name)
{
        for (size_t i = 0; i < sizeof(cipher_modes) / sizeof(cipher_modes[0]); i++) {
                const CipherMode *m = &cipher_modes[i];
                bool has_hash = m->name[strlen(m->name) - 1] == ':';
                if (has_hash ? cipher_starts_with(name, m->name) : strcmp(name, m->name) == 0)
                        return m;
        }
        return NULL;
}

/* *ret_known: there is that cipher, whatever the key. */
static const CipherAlgorithm *cipher_find_algorithm(const char *name,
                                                    size_t key_len,
                                                    bool *ret_known)
{
        *ret_known = false;
        for (size_t i = 0; i < sizeof(cipher_algorithms) / sizeof(cipher_algorithms[0]); i++) {
                const CipherAlgorithm *a = &cipher_algorithms[i];
                if (strcmp(a->name, name) != 0)
                        continue;
                *ret_known = true;
                if (a->key_len == key_len)
                        return a;
        }
        return NULL;
}

static int cipher_plan_essiv(const SectorCipherKind *kind, CipherPlan *plan, Err *err)
{
        const char *hash = strchr(kind->mode, ':') + 1;
        bool known;

        plan->essiv_hash = gcry_md_map_name(hash);
        if (plan->essiv_hash == 0)
                return err_set(err, EOPNOTSUPP,
                               "the hash '%s' of the initial vectors is not supported", hash);
        size_t len = gcry_md_get_algo_dlen(plan->essiv_hash);
        plan->essiv = cipher_find_algorithm(kind->cipher, len, &known);
        if (!plan->essiv)
                return err_set(err, EOPNOTSUPP,
                               "the hash '%s' of the initial vectors makes no key of %s", hash,
                               kind->cipher);
        return 0;
}

static int cipher_plan(const SectorCipherKind *kind, size_t key_len, CipherPlan *ret, Err *err)
{
        CipherPlan plan = { .mode = cipher_find_mode(kind->mode) };
        bool known, is_xts;

        if (kind->sector_size != 512 && kind->sector_size != 1024 && kind->sector_size != 2048 &&
            kind->sector_size != 4096)
                return err_set(err, EBADMSG, "the sector size %u is not 512, 1024, 2048 or 4096",
                               kind->sector_size);
        is_xts = plan.mode && plan.mode->mode == GCRY_CIPHER_MODE_XTS;
        if (is_xts && key_len % 2 != 0)
                return err_set(err, EBADMSG, "a key of %zu bytes cannot be halved for XTS",
                               key_len);
        plan.algorithm =
                cipher_find_algorithm(kind->cipher, is_xts ? key_len / 2 : key_len, &known);
        if (!known)
                return err_set(err, EOPNOTSUPP, "the cipher '%s' is not supported", kind->cipher);
        if (!plan.mode)
                return err_set(err, EOPNOTSUPP, "the cipher mode '%s' is not supported",
                               kind->mode);
        if (!plan.algorithm)
                return err_set(err, EBADMSG, "a key of %zu bytes does not go with %s-%s", key_len,
                               kind->cipher, kind->mode);
        if (is_xts && gcry_cipher_get_algo_blklen(plan.algorithm->algorithm) != CIPHER_BLOCK_MAX)
                return err_set(err, EOPNOTSUPP, "the cipher '%s' has no XTS", kind->cipher);
        /* As in FIPS mode, or in a build of libgcrypt that leaves some out. */
        if (gcry_cipher_test_algo(plan.algorithm->algorithm) != 0)
                return err_set(err, EOPNOTSUPP, "the libgcrypt of this machine has no cipher '%s'",
                               kind->cipher);
        if (plan.mode->vector == VECTOR_ESSIV) {
                int r = cipher_plan_essiv(kind, &plan, err);
                if (r < 0)
                        return r;
        }
        *ret = plan;
        return 0;
}

int sector_cipher_parse(const char *text, uint32_t sector_size, SectorCipherKind *ret, Err *err)
{
        const char *dash = strchr(text, '-');
        SectorCipherKind kind = { .sector_size = sector_size };

        if (!dash || dash == text || (size_t)(dash - text) >= sizeof(kind.cipher) ||
            strlen(dash + 1) >= sizeof(kind.mode))
                return err_set(err, EBADMSG, "'%s' names no cipher with its mode", text);
        memcpy(kind.cipher, text, (size_t)(dash - text));
        strcpy(kind.mode, dash + 1);
        *ret = kind;
        return 0;
}

int sector_cipher_check(const SectorCipherKind *kind, size_t key_len, Err *err)
{
        CipherPlan plan;
        int r = crypto_start(err);
        return r < 0 ? r : cipher_plan(kind, key_len, &plan, err);
}

static int cipher_open(const CipherAlgorithm *a,
                       int mode,
                       const uint8_t *key,
                       size_t key_len,
                       gcry_cipher_hd_t *ret)
{
        gcry_error_t e = gcry_cipher_open(ret, a->algorithm, mode, 0);
        if (e == 0)
                e = gcry_cipher_setkey(*ret, key, key_len);
        return e == 0 ? 0 : -ENOMEM;
}

static int cipher_open_set(
        CipherSet *set, const CipherPlan *plan, const uint8_t *key, size_t key_len, Err *err)
{
        uint8_t hashed[CIPHER_BLOCK_MAX * 4];
        int r = cipher_open(plan->algorithm, plan->mode->mode, key, key_len, &set->handle);

        if (r >= 0 && plan->essiv) {
                gcry_md_hash_buffer(plan->essiv_hash, hashed, key, key_len);
                r = cipher_open(plan->essiv, GCRY_CIPHER_MODE_ECB, hashed, plan->essiv->key_len,
                                &set->essiv);
                explicit_bzero(hashed, sizeof(hashed));
        }
        return r < 0 ? err_set(err, EOPNOTSUPP, "libgcrypt does not take the key") : 0;
}

SectorCipher *sector_cipher_free(SectorCipher *c)
{
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->set_count; i++) {
                gcry_cipher_close(c->sets[i].handle);
                gcry_cipher_close(c->sets[i].essiv);
                pthread_mutex_destroy(&c->sets[i].lock);
        }
        free(c);
        return NULL;
}

int sector_cipher_new(const SectorCipherKind *kind,
                      const uint8_t *key,
                      size_t key_len,
                      SectorCipher **ret,
                      Err *err)
{
        _cleanup_sector_cipher_ SectorCipher *c = NULL;
        CipherPlan plan;

        int r = crypto_start(err);
        if (r >= 0)
                r = cipher_plan(kind, key_len, &plan, err);
        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return err_set(err, ENOMEM, "%m");
        c->sector_size = kind->sector_size;
        c->vector = plan.mode->vector;
        c->block_len = gcry_cipher_get_algo_blklen(plan.algorithm->algorithm);
        while (c->set_count < CIPHER_SETS) {
                CipherSet *set = &c->sets[c->set_count];
                pthread_mutex_init(&set->lock, NULL);
                c->set_count++;
                r = cipher_open_set(set, &plan, key, key_len, err);
                if (r < 0)
                        return r;
        }
        *ret = TAKE(c);
        return 0;
}

int sector_cipher_new_qcow(const Secret *s, SectorCipher **ret, Err *err)
{
        static const SectorCipherKind kind = {
                .cipher = "aes",
                .mode = "cbc-plain64",
                .sector_size = SECTOR_CIPHER_UNIT,
        };
        uint8_t key[QCOW_KEY_LEN] = { 0 };

        memcpy(key, s->bytes, s->len < sizeof(key) ? s->len : sizeof(key));
        int r = sector_cipher_new(&kind, key, sizeof(key), ret, err);
        explicit_bzero(key, sizeof(key));
        return r;
}

uint32_t sector_cipher_sector_size(const SectorCipher *c)
{
        return c->sector_size;
}

/* One that nobody uses, or else the next one in turn. Its lock is taken. */
static CipherSet *cipher_take_set(SectorCipher *c)
{
        unsigned first = atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed);

        for (size_t i = 0; i < CIPHER_SETS; i++) {
                CipherSet *set = &c->sets[(first + i) % CIPHER_SETS];
                if (pthread_mutex_trylock(&set->lock) == 0)
                        return set;
        }
        CipherSet *set = &c->sets[first % CIPHER_SETS];
        pthread_mutex_lock(&set->lock);
        return set;
}

static void cipher_put_number(uint8_t *vector, uint64_t number, unsigned bytes)
{
        for (unsigned i = 0; i < bytes; i++)
                vector[i] = (uint8_t)(number >> (8 * i));
}

static void cipher_put_number_be(uint8_t *end, uint64_t number)
{
        for (unsigned i = 1; i <= 8; i++, number >>= 8)
                end[-(int)i] = (uint8_t)number;
}

static gcry_error_t cipher_make_vector(const SectorCipher *c,
                                       CipherSet *set,
                                       uint64_t sector,
                                       uint8_t *vector)
{
        memset(vector, 0, CIPHER_BLOCK_MAX);
        switch (c->vector) {
        case VECTOR_NONE:
        case VECTOR_NULL:
                return 0;
        case VECTOR_PLAIN:
                cipher_put_number(vector, sector, 4);
                return 0;
        case VECTOR_PLAIN64:
                cipher_put_number(vector, sector, 8);
                return 0;
        case VECTOR_PLAIN64BE:
                cipher_put_number_be(vector + c->block_len, sector);
                return 0;
        case VECTOR_ESSIV:
                cipher_put_number(vector, sector, 8);
                return gcry_cipher_encrypt(set->essiv, vector, c->block_len, NULL, 0);
        }
        return GPG_ERR_INTERNAL;
}

typedef enum CipherWay { CIPHER_ENCRYPT, CIPHER_DECRYPT } CipherWay;

static gcry_error_t cipher_run_sector(
        SectorCipher *c, CipherSet *set, CipherWay way, uint64_t sector, uint8_t *buf)
{
        uint8_t vector[CIPHER_BLOCK_MAX];

        gcry_error_t e = cipher_make_vector(c, set, sector, vector);
        if (e == 0 && c->vector != VECTOR_NONE)
                e = gcry_cipher_setiv(set->handle, vector, c->block_len);
        if (e != 0)
                return e;
        return way == CIPHER_ENCRYPT
                       ? gcry_cipher_encrypt(set->handle, buf, c->sector_size, NULL, 0)
                       : gcry_cipher_decrypt(set->handle, buf, c->sector_size, NULL, 0);
}

static int cipher_run(SectorCipher *c, CipherWay way, uint64_t sector, void *buf, size_t len)
{
        CipherSet *set = cipher_take_set(c);
        uint8_t *at = buf;
        gcry_error_t e = 0;

        for (size_t done = 0; e == 0 && done < len; done += c->sector_size) {
                e = cipher_run_sector(c, set, way, sector, at + done);
                sector += c->sector_size / SECTOR_CIPHER_UNIT;
        }
        pthread_mutex_unlock(&set->lock);
        return e == 0 ? 0 : -EIO;
}

int sector_cipher_encrypt(SectorCipher *c, uint64_t sector, void *buf, size_t len)
{
        return cipher_run(c, CIPHER_ENCRYPT, sector, buf, len);
}

int sector_cipher_decrypt(SectorCipher *c, uint64_t sector, void *buf, size_t len)
{
        return cipher_run(c, CIPHER_DECRYPT, sector, buf, len);
}
