/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks-key.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
        /* The longest key material, in whole pages: 4000 stripes of 64 bytes. */
        LUKS_MATERIAL_MAX = 256 << 10,
};
_Static_assert(LUKS_STRIPES *SECTOR_CIPHER_KEY_MAX <= LUKS_MATERIAL_MAX, "it has room");

/* All that one try makes; in pages of its own, which stay out of dumps and are wiped. */
typedef struct LuksTry {
        uint8_t derived[SECTOR_CIPHER_KEY_MAX];
        uint8_t key[SECTOR_CIPHER_KEY_MAX];
        uint8_t digest[KDF_HASH_LEN_MAX];
        uint8_t block[KDF_HASH_LEN_MAX];
        uint8_t material[LUKS_MATERIAL_MAX];
} LuksTry;

static LuksTry *luks_try_new(void)
{
        void *p = mmap(NULL, sizeof(LuksTry), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
        if (p == MAP_FAILED)
                return NULL;
        (void)madvise(p, sizeof(LuksTry), MADV_DONTDUMP);
        return p;
}

static void luks_try_done(LuksTry **t)
{
        if (!*t)
                return;
        explicit_bzero(*t, sizeof(**t));
        munmap(*t, sizeof(**t));
}

/* Public specification, "diffuse": each block of the length of a digest becomes the hash of its number and itself. */
static void luks_diffuse(
        const LuksSlot *s, size_t digest_len, uint8_t *block, uint8_t *d, size_t len)
{
        uint32_t number = 0;

        for (size_t at = 0; at < len; at += digest_len, number++) {
                size_t part = (size_t)u64_min(digest_len, len - at);
                kdf_hash_numbered(s->af_hash, number, d + at, part, block);
                memcpy(d + at, block, part);
        }
}

/* Public specification, "AFmerge". */
static void luks_merge(const LuksSlot *s, size_t digest_len, size_t key_len, LuksTry *t)
{
        memset(t->key, 0, sizeof(t->key));
        for (uint32_t i = 0; i < s->stripes; i++) {
                const uint8_t *stripe = t->material + (size_t)i * key_len;
                for (size_t k = 0; k < key_len; k++)
                        t->key[k] ^= stripe[k];
                if (i + 1 < s->stripes)
                        luks_diffuse(s, digest_len, t->block, t->key, key_len);
        }
}

static int luks_load_material(
        const LuksPlace *place, const LuksHeader *h, const LuksSlot *s, LuksTry *t, Err *err)
{
        _cleanup_sector_cipher_ SectorCipher *cipher = NULL;
        size_t len = (size_t)round_up((uint64_t)h->key_len * s->stripes, SECTOR_CIPHER_UNIT);

        int r = store_read_named(place->store, t->material, len, place->base + s->pos,
                                 "the key material", err);
        if (r < 0)
                return r;
        r = sector_cipher_new(&s->kind, t->derived, s->area_key_len, &cipher, err);
        if (r < 0)
                return r;
        r = sector_cipher_decrypt(cipher, 0, t->material, len);
        return r < 0 ? err_set(err, -r, "cannot decrypt the key material") : 0;
}

/* 1: it fits, and t->key is the key. */
static int luks_try_slot(const LuksPlace *place,
                         const LuksHeader *h,
                         const LuksSlot *s,
                         const Secret *secret,
                         LuksTry *t,
                         Err *err)
{
        size_t digest_len;

        int r = kdf_hash_len(s->af_hash, &digest_len, err);
        if (r >= 0)
                r = kdf_derive(&s->kdf, secret->bytes, secret->len, t->derived, s->area_key_len,
                               err);
        if (r >= 0)
                r = luks_load_material(place, h, s, t, err);
        if (r < 0)
                return err_prefix(err, r, "key slot %u", s->number);
        luks_merge(s, digest_len, h->key_len, t);
        r = kdf_derive(&h->digest, t->key, h->key_len, t->digest, h->digest_len, err);
        if (r < 0)
                return err_prefix(err, r, "the digest of the key");
        return memcmp(t->digest, h->digest_bytes, h->digest_len) == 0;
}

int luks_key_unlock(
        const LuksPlace *place, const LuksHeader *h, const Secret *s, SectorCipher **ret, Err *err)
{
        _cleanup_(luks_try_done) LuksTry *t = luks_try_new();
        int r = 0;

        if (!t)
                return err_set(err, ENOMEM, "%m");
        for (size_t i = 0; r == 0 && i < h->slot_count; i++)
                if (h->slots[i].usable)
                        r = luks_try_slot(place, h, &h->slots[i], s, t, err);
        if (r == 0)
                return err_set(err, EKEYREJECTED, "wrong passphrase");
        return r < 0 ? r : sector_cipher_new(&h->kind, t->key, h->key_len, ret, err);
}
