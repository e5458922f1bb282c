/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks-header.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/disk-int.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LUKS_MAGIC "LUKS\xba\xbe"

enum {
        LUKS_SECTOR = 512,
        LUKS1_DIGEST_LEN = 20,
        LUKS1_SALT_LEN = 32,
        /* Public specification, LUKS_KEY_ENABLED and LUKS_KEY_DISABLED. */
        LUKS1_SLOT_ACTIVE = 0x00ac71f3,
        LUKS1_SLOT_INACTIVE = 0x0000dead,
        /* The header takes these first sectors. */
        LUKS1_HEADER_SECTORS = 2,
};

typedef struct LuksDiskStart {
        char magic[6];
        be16 version;
} LuksDiskStart;
_Static_assert(sizeof(LuksDiskStart) == 8, "LUKS magic and version");

typedef struct Luks1DiskSlot {
        be32 active;
        be32 iterations;
        uint8_t salt[LUKS1_SALT_LEN];
        be32 key_material_offset;
        be32 stripes;
} Luks1DiskSlot;
_Static_assert(sizeof(Luks1DiskSlot) == 48, "LUKS1 key slot");

typedef struct Luks1DiskHeader {
        LuksDiskStart start;
        char cipher_name[32];
        char cipher_mode[32];
        char hash_spec[32];
        be32 payload_offset;
        be32 key_bytes;
        uint8_t mk_digest[LUKS1_DIGEST_LEN];
        uint8_t mk_digest_salt[LUKS1_SALT_LEN];
        be32 mk_digest_iter;
        char uuid[40];
        Luks1DiskSlot slots[LUKS1_SLOT_COUNT];
} Luks1DiskHeader;
_Static_assert(sizeof(Luks1DiskHeader) == 592, "LUKS1 header");

/* A text that fills its field has no NUL: then it is not one. */
static int luks1_take_text(const char *field, const char *name, size_t len, char *ret, Err *err)
{
        if (!memchr(field, 0, len))
                return err_set(err, EBADMSG, "%s does not end within its field", name);
        strcpy(ret, field);
        return 0;
}

static int luks1_take_slot(const Luks1DiskHeader *d, unsigned number, LuksHeader *h, Err *err)
{
        const Luks1DiskSlot *s = &d->slots[number];
        LuksSlot *slot = &h->slots[number];
        uint32_t state = from_be32(s->active);

        if (state != LUKS1_SLOT_ACTIVE && state != LUKS1_SLOT_INACTIVE)
                return err_set(err, EBADMSG, "key slot %u: active is %#x, which means nothing",
                               number, state);
        *slot = (LuksSlot){
                .active = state == LUKS1_SLOT_ACTIVE,
                .usable = state == LUKS1_SLOT_ACTIVE,
                .number = number,
                .kind = h->kind,
                .area_key_len = h->key_len,
                .pos = (uint64_t)from_be32(s->key_material_offset) * LUKS_SECTOR,
                .stripes = from_be32(s->stripes),
        };
        slot->kdf.iterations = from_be32(s->iterations);
        slot->kdf.salt_len = LUKS1_SALT_LEN;
        memcpy(slot->kdf.salt, s->salt, LUKS1_SALT_LEN);
        strcpy(slot->kdf.hash, h->hash);
        strcpy(slot->af_hash, h->hash);
        return 0;
}

static int luks1_take_payload(const LuksPlace *place, LuksHeader *h, Err *err)
{
        if (place->detached)
                return 0;
        if (h->payload_pos == 0)
                return err_set(err, EOPNOTSUPP,
                               "payload-offset 0: the header is detached, and where its data is "
                               "nobody says");
        if (h->payload_pos < h->end)
                return err_set(err, EBADMSG,
                               "the payload at %" PRIu64 " begins before the end of the header at "
                               "%" PRIu64,
                               h->payload_pos, h->end);
        if (h->payload_pos > place->len)
                return err_set(err, ENODATA,
                               "the payload at %" PRIu64
                               " begins beyond the end of the file at %" PRIu64,
                               h->payload_pos, place->len);
        return 0;
}

static int luks1_take(const Luks1DiskHeader *d, LuksHeader *h, Err *err)
{
        h->kind.sector_size = LUKS_SECTOR;
        int r = luks1_take_text(d->cipher_name, "cipher-name", 32, h->kind.cipher, err);
        if (r >= 0)
                r = luks1_take_text(d->cipher_mode, "cipher-mode", 32, h->kind.mode, err);
        if (r >= 0)
                r = luks1_take_text(d->hash_spec, "hash-spec", 32, h->hash, err);
        if (r >= 0)
                r = luks1_take_text(d->uuid, "uuid", sizeof(d->uuid), h->uuid, err);
        if (r < 0)
                return r;
        h->key_len = from_be32(d->key_bytes);
        h->payload_pos = (uint64_t)from_be32(d->payload_offset) * LUKS_SECTOR;
        h->payload_len = LUKS_PAYLOAD_TO_END;
        h->digest.iterations = from_be32(d->mk_digest_iter);
        h->digest.salt_len = LUKS1_SALT_LEN;
        memcpy(h->digest.salt, d->mk_digest_salt, LUKS1_SALT_LEN);
        strcpy(h->digest.hash, h->hash);
        h->digest_len = LUKS1_DIGEST_LEN;
        memcpy(h->digest_bytes, d->mk_digest, LUKS1_DIGEST_LEN);
        h->slot_count = LUKS1_SLOT_COUNT;
        h->end = LUKS1_HEADER_SECTORS * LUKS_SECTOR;
        for (unsigned i = 0; r >= 0 && i < LUKS1_SLOT_COUNT; i++)
                r = luks1_take_slot(d, i, h, err);
        return r;
}

static int luks1_header_read(const LuksPlace *place, LuksHeader *ret, Err *err)
{
        Luks1DiskHeader d;

        if (place->len < sizeof(d))
                return err_set(err, ENODATA, "the header ends after %" PRIu64 " of its %zu bytes",
                               place->len, sizeof(d));
        int r = store_read_named(place->store, &d, sizeof(d), place->base, "the header", err);
        if (r < 0)
                return r;
        r = luks1_take(&d, ret, err);
        if (r >= 0)
                r = luks_header_check(place, ret, err);
        return r < 0 ? r : luks1_take_payload(place, ret, err);
}

/* How long the key material of a slot is, in whole sectors. */
static uint64_t luks_material_len(const LuksHeader *h, const LuksSlot *s)
{
        return round_up((uint64_t)h->key_len * s->stripes, LUKS_SECTOR);
}

static int luks_check_slot_place(const LuksPlace *place, LuksHeader *h, LuksSlot *s, Err *err)
{
        uint64_t len = luks_material_len(h, s), start = h->end;

        if (s->pos < start)
                return err_set(err, EBADMSG,
                               "its key material at %" PRIu64 " lies within the header, which ends "
                               "at %" PRIu64,
                               s->pos, start);
        if (!in_range(s->pos, len, place->len))
                return err_set(err, ENODATA,
                               "its key material at %" PRIu64 " of %" PRIu64
                               " bytes reaches beyond the end at %" PRIu64,
                               s->pos, len, place->len);
        for (const LuksSlot *o = h->slots; o < s; o++)
                if (o->active && s->pos < o->pos + luks_material_len(h, o) && o->pos < s->pos + len)
                        return err_set(err, EBADMSG, "its key material overlaps that of slot %u",
                                       o->number);
        return 0;
}

static int luks_check_slot(
        const LuksPlace *place, LuksHeader *h, LuksSlot *s, KdfCost *cost, Err *err)
{
        size_t len;

        if (s->stripes != LUKS_STRIPES)
                return err_set(err, EBADMSG, "%u stripes instead of %d", s->stripes, LUKS_STRIPES);
        if (!s->active)
                return 0;
        int r = kdf_hash_len(s->af_hash, &len, err);
        if (r >= 0)
                r = sector_cipher_check(&s->kind, s->area_key_len, err);
        if (r >= 0)
                r = luks_check_slot_place(place, h, s, err);
        /* What opens nothing that is shown is not tried. */
        if (r < 0 || !s->usable)
                return r;
        return kdf_check(&s->kdf, cost, err);
}

int luks_header_check(const LuksPlace *place, LuksHeader *h, Err *err)
{
        KdfCost cost = { 0 };
        uint64_t end = h->end;

        int r = sector_cipher_check(&h->kind, h->key_len, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < h->slot_count; i++) {
                LuksSlot *s = &h->slots[i];
                r = luks_check_slot(place, h, s, &cost, err);
                if (r < 0)
                        return err_prefix(err, r, "key slot %u", s->number);
                /* For each slot the digest is computed once. */
                if (s->usable)
                        r = kdf_check(&h->digest, &cost, err);
                if (r < 0)
                        return err_prefix(err, r, "the digest of the key");
                if (s->active)
                        end = u64_max(end, s->pos + luks_material_len(h, s));
        }
        h->end = end;
        return 0;
}

int luks_header_read(const LuksPlace *place, LuksHeader *ret, Err *err)
{
        LuksDiskStart start;
        LuksHeader *h = ret;

        memset(h, 0, sizeof(*h));
        if (place->len < sizeof(start))
                return err_set(err, ENODATA, "the header ends after %" PRIu64 " bytes", place->len);
        int r = store_read_named(place->store, &start, sizeof(start), place->base, "the header",
                                 err);
        if (r < 0)
                return r;
        bool is_luks = memcmp(start.magic, LUKS_MAGIC, sizeof(start.magic)) == 0;
        h->version = from_be16(start.version);
        if (is_luks && h->version == 1)
                return luks1_header_read(place, h, err);
        if (is_luks && h->version != 2)
                return err_set(err, EOPNOTSUPP, "LUKS version %u is not supported", h->version);
        if (!is_luks && place->detached)
                return err_set(err, EBADMSG, "there is no LUKS header where one should be");
        /* The first copy of a LUKS2 header may be damaged. */
        h->version = 2;
        return luks2_header_read(place, h, err);
}
