/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/info-luks.h"

#include <stdio.h>
#include <string.h>

/* "xts-plain64" is the mode "xts" with the vectors "plain64"; what follows a colon is a hash. */
typedef struct LuksWords {
        char cipher[2 * SECTOR_CIPHER_NAME_MAX];
        char mode[SECTOR_CIPHER_NAME_MAX];
        const char *vectors, *vectors_hash; /* NULL: none */
} LuksWords;

static void luks_words(const LuksHeader *h, LuksWords *ret)
{
        char *at;

        strcpy(ret->mode, h->kind.mode);
        ret->vectors = ret->vectors_hash = NULL;
        at = strchr(ret->mode, '-');
        if (at) {
                *at = '\0';
                ret->vectors = at + 1;
                at = strchr(at + 1, ':');
        }
        if (at) {
                *at = '\0';
                ret->vectors_hash = at + 1;
        }
        size_t bits = h->key_len * 8;
        if (strcmp(ret->mode, "xts") == 0)
                bits /= 2;
        snprintf(ret->cipher, sizeof(ret->cipher), "%s-%zu", h->kind.cipher, bits);
}

static int info_add_luks_ciphers(Info *i, const LuksHeader *h, const char *format)
{
        LuksWords w;
        int r = 0;

        luks_words(h, &w);
        if (w.vectors)
                r = info_add_text(i, "ivgen-alg", w.vectors);
        if (r >= 0)
                r = info_add_text(i, "hash-alg", h->hash);
        if (r >= 0)
                r = info_add_text(i, "cipher-alg", w.cipher);
        if (r >= 0)
                r = info_add_text(i, "uuid", h->uuid);
        if (r >= 0 && w.vectors_hash)
                r = info_add_text(i, "ivgen-hash-alg", w.vectors_hash);
        if (r >= 0 && format)
                r = info_add_text(i, "format", format);
        return r < 0 ? r : info_add_text(i, "cipher-mode", w.mode);
}

static const char *luks_kdf_name(KdfKind kind)
{
        switch (kind) {
        case KDF_PBKDF2:
                return "pbkdf2";
        case KDF_ARGON2I:
                return "argon2i";
        case KDF_ARGON2ID:
                return "argon2id";
        }
        return "?";
}

/* qemu-img knows LUKS1 only, so for LUKS2 there are more keys than it has. */
static int info_add_luks2_kdf(Info *i, const Kdf *k)
{
        int r = info_add_text(i, "kdf", luks_kdf_name(k->kind));
        if (r >= 0 && k->kind != KDF_PBKDF2)
                r = info_add_number(i, "memory", k->memory);
        if (r >= 0 && k->kind != KDF_PBKDF2)
                r = info_add_number(i, "cpus", k->lanes);
        return r;
}

static int info_add_luks_slot(Info *i, const LuksHeader *h, const LuksSlot *s)
{
        int r = info_begin(i, FACT_OBJECT, "");
        if (r >= 0 && h->version == 2)
                r = info_add_number(i, "number", s->number);
        if (r >= 0)
                r = info_add_bool(i, "active", s->active);
        if (r >= 0 && s->active && h->version == 2)
                r = info_add_luks2_kdf(i, &s->kdf);
        if (r >= 0 && s->active)
                r = info_add_number(i, "iters", s->kdf.iterations);
        if (r >= 0 && (s->active || h->version == 1))
                r = info_add_number(i, "key-offset", s->pos);
        if (r >= 0 && s->active)
                r = info_add_number(i, "stripes", s->stripes);
        return r < 0 ? r : info_end(i);
}

static int info_add_luks2(Info *i, const LuksHeader *h)
{
        int r = info_add_number(i, "luks-version", h->version);
        if (r >= 0)
                r = info_add_text(i, "label", h->label);
        return r < 0 ? r : info_add_number(i, "sector-size", h->kind.sector_size);
}

int info_add_luks(Info *i, const LuksHeader *h, const char *format)
{
        int r = h->version == 2 ? info_add_luks2(i, h) : 0;
        if (r >= 0)
                r = info_add_luks_ciphers(i, h, format);
        if (r >= 0)
                r = info_begin(i, FACT_LIST, "slots");
        for (size_t k = 0; r >= 0 && k < h->slot_count; k++)
                r = info_add_luks_slot(i, h, &h->slots[k]);
        if (r >= 0)
                r = info_end(i);
        if (r >= 0)
                r = info_add_number(i, "payload-offset", h->payload_pos);
        return r < 0 ? r : info_add_number(i, "master-key-iters", h->digest.iterations);
}
