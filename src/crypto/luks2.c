/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of LUKS2: two copies of a binary part and a text, JSON, each with a checksum and a number that grows. The valid copy with
 * the larger number counts.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/disk-int.h"
#include "crypto/limits.h"
#include "crypto/luks-header.h"
#include "crypto/luks2-text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
        LUKS2_VERSION = 2,
        LUKS2_BINARY_LEN = 4096,
        LUKS2_HEADER_LEN_MIN = 16 << 10,
        LUKS2_HEADER_LEN_MAX = 4 << 20,
        LUKS2_CHECKSUM_LEN = 64,
        LUKS2_HASHED_PIECE = 64 << 10,
};

static const char *const luks2_magics[] = { "LUKS\xba\xbe", "SKUL\xba\xbe" };

typedef struct Luks2DiskHeader {
        char magic[6];
        be16 version;
        be64 hdr_size;
        be64 seqid;
        char label[48];
        char checksum_alg[32];
        uint8_t salt[64];
        char uuid[40];
        char subsystem[48];
        be64 hdr_offset;
        char padding[184];
        uint8_t csum[LUKS2_CHECKSUM_LEN];
        char padding4096[7 * 512];
} Luks2DiskHeader;
_Static_assert(sizeof(Luks2DiskHeader) == LUKS2_BINARY_LEN, "LUKS2 binary header");
_Static_assert(offsetof(Luks2DiskHeader, csum) == 448, "LUKS2 checksum");

/* One copy, as far as it was looked at. */
typedef struct Luks2Copy {
        bool valid;
        uint64_t pos, len; /* len: of the binary part and the text */
        uint64_t sequence;
        Luks2DiskHeader disk;
        Err why; /* it is not valid */
} Luks2Copy;

static void kdf_hash_freep(KdfHash **h)
{
        *h = *h ? kdf_hash_free(*h) : NULL;
}

/* Public specification, "Header checksum": over all of it, with the checksum itself taken for zeroes. */
static int luks2_sum(const LuksPlace *place, const Luks2Copy *c, uint8_t *ret, Err *err)
{
        _cleanup_(kdf_hash_freep) KdfHash *hash = kdf_hash_new(c->disk.checksum_alg);
        _cleanup_free_ uint8_t *piece = malloc(LUKS2_HASHED_PIECE);
        Luks2DiskHeader d = c->disk;
        uint64_t done = sizeof(d);

        if (!hash || !piece)
                return err_set(err, ENOMEM, "%m");
        memset(d.csum, 0, sizeof(d.csum));
        kdf_hash_add(hash, &d, sizeof(d));
        while (done < c->len) {
                size_t len = (size_t)u64_min(c->len - done, LUKS2_HASHED_PIECE);
                int r = store_read(place->store, piece, len, place->base + c->pos + done);
                if (r < 0)
                        return err_set(err, -r, "cannot read it: %m");
                kdf_hash_add(hash, piece, len);
                done += len;
        }
        kdf_hash_get(hash, ret);
        return 0;
}

static int luks2_check_sum(const LuksPlace *place, const Luks2Copy *c, Err *err)
{
        uint8_t sum[KDF_HASH_LEN_MAX];
        size_t len;

        if (!memchr(c->disk.checksum_alg, 0, sizeof(c->disk.checksum_alg)))
                return err_set(err, EBADMSG, "checksum_alg does not end within its field");
        int r = kdf_hash_len(c->disk.checksum_alg, &len, err);
        if (r >= 0)
                r = luks2_sum(place, c, sum, err);
        if (r < 0)
                return r;
        return memcmp(sum, c->disk.csum, len) == 0 ? 0
                                                   : err_set(err, EBADMSG, "its checksum is wrong");
}

static int luks2_take_copy(const LuksPlace *place, unsigned number, Luks2Copy *c, Err *err)
{
        const Luks2DiskHeader *d = &c->disk;

        if (!in_range(c->pos, sizeof(*d), place->len))
                return err_set(err, ENODATA, "the file ends before it");
        int r = store_read(place->store, &c->disk, sizeof(c->disk), place->base + c->pos);
        if (r < 0)
                return err_set(err, -r, "cannot read it: %m");
        if (memcmp(d->magic, luks2_magics[number], sizeof(d->magic)) != 0)
                return err_set(err, EBADMSG, "its magic is wrong");
        if (from_be16(d->version) != LUKS2_VERSION)
                return err_set(err, EBADMSG, "its version is %u", from_be16(d->version));
        c->len = from_be64(d->hdr_size);
        c->sequence = from_be64(d->seqid);
        if (c->len < LUKS2_HEADER_LEN_MIN || c->len > LUKS2_HEADER_LEN_MAX ||
            !is_power_of_two(c->len))
                return err_set(err, EBADMSG,
                               "its hdr_size %" PRIu64 " is no power of two from 16 KiB to 4 MiB",
                               c->len);
        if (from_be64(d->hdr_offset) != c->pos || (number == 1 && c->len != c->pos))
                return err_set(err, EBADMSG, "its hdr_offset is %" PRIu64 " and not %" PRIu64,
                               from_be64(d->hdr_offset), c->pos);
        if (!in_range(c->pos, c->len, place->len))
                return err_set(err, ENODATA, "the file ends within it");
        return luks2_check_sum(place, c, err);
}

static bool luks2_load(const LuksPlace *place, unsigned number, uint64_t pos, Luks2Copy *c)
{
        memset(c, 0, sizeof(*c));
        c->pos = pos;
        c->valid = luks2_take_copy(place, number, c, &c->why) >= 0;
        return c->valid;
}

/* Without the first copy, the second may be at any of a few places. */
static bool luks2_load_second(const LuksPlace *place, const Luks2Copy *first, Luks2Copy *ret)
{
        if (first->valid)
                return luks2_load(place, 1, first->len, ret);
        for (uint64_t pos = LUKS2_HEADER_LEN_MIN; pos <= LUKS2_HEADER_LEN_MAX; pos *= 2)
                if (luks2_load(place, 1, pos, ret))
                        return true;
        return false;
}

/* Reads the text of the copy that counts. */
static int luks2_read_text(const LuksPlace *place, const Luks2Copy *c, char **ret, Err *err)
{
        uint64_t len = c->len - LUKS2_BINARY_LEN;
        uint64_t part = u64_min(len, LIMIT_LUKS2_TEXT + 1);
        char *text = malloc((size_t)part + 1);

        if (!text)
                return err_set(err, ENOMEM, "%m");
        int r = store_read(place->store, text, (size_t)part,
                           place->base + c->pos + LUKS2_BINARY_LEN);
        if (r < 0) {
                free(text);
                return err_set(err, -r, "cannot read the header's text: %m");
        }
        text[part] = '\0';
        if (strlen(text) > LIMIT_LUKS2_TEXT) {
                free(text);
                return err_set(err, EFBIG, "the header's text is longer than the limit of %d",
                               LIMIT_LUKS2_TEXT);
        }
        *ret = text;
        return 0;
}

/* What is said of the copy that was not taken. */
static void luks2_note_other(LuksHeader *h, const Luks2Copy *first, const Luks2Copy *second)
{
        const Luks2Copy *bad = !first->valid ? first : !second->valid ? second : NULL;

        if (bad) {
                h->copy_is_bad = true;
                snprintf(h->why_bad, sizeof(h->why_bad), "the %s copy of the header: %.90s",
                         bad == first ? "first" : "second", bad->why.text);
        } else if (first->sequence != second->sequence) {
                h->copy_is_bad = true;
                snprintf(h->why_bad, sizeof(h->why_bad),
                         "the copies of the header have the numbers %" PRIu64 " and %" PRIu64,
                         first->sequence, second->sequence);
        }
}

static int luks2_take_payload(const LuksPlace *place, const LuksHeader *h, Err *err)
{
        if (h->payload_pos == 0)
                return err_set(err, EOPNOTSUPP,
                               "segment 0 has the offset 0: the header is detached, and where its "
                               "data is nobody says");
        if (h->payload_pos < h->end)
                return err_set(err, EBADMSG,
                               "segment 0 at %" PRIu64 " begins before the end of the header at "
                               "%" PRIu64,
                               h->payload_pos, h->end);
        if (h->payload_pos > place->len)
                return err_set(err, ENODATA,
                               "segment 0 at %" PRIu64
                               " begins beyond the end of the file at %" PRIu64,
                               h->payload_pos, place->len);
        return 0;
}

static int luks2_take(const LuksPlace *place, const Luks2Copy *c, LuksHeader *h, Err *err)
{
        _cleanup_free_ char *text = NULL;

        h->sequence = c->sequence;
        snprintf(h->uuid, sizeof(h->uuid), "%.40s", c->disk.uuid);
        snprintf(h->label, sizeof(h->label), "%.48s", c->disk.label);
        h->end = 2 * c->len;
        int r = luks2_read_text(place, c, &text, err);
        if (r >= 0)
                r = luks2_text_take(text, h, err);
        if (r >= 0)
                r = luks_header_check(place, h, err);
        return r < 0 ? r : luks2_take_payload(place, h, err);
}

int luks2_header_read(const LuksPlace *place, LuksHeader *ret, Err *err)
{
        _cleanup_free_ Luks2Copy *copies = calloc(2, sizeof(*copies));
        Luks2Copy *first = copies, *second = copies + 1;

        if (!copies)
                return err_set(err, ENOMEM, "%m");
        if (place->detached)
                return err_set(err, EOPNOTSUPP, "LUKS version 2 is not supported here");
        luks2_load(place, 0, 0, first);
        luks2_load_second(place, first, second);
        if (!first->valid && !second->valid)
                return err_set(err, EBADMSG,
                               "no copy of the LUKS2 header is sound; the first one: %s",
                               first->why.text);
        ret->copy_is_newer = !first->valid || (second->valid && second->sequence > first->sequence);
        luks2_note_other(ret, first, second);
        return luks2_take(place, ret->copy_is_newer ? second : first, ret, err);
}
