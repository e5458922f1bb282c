/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header extensions, and the backing file's name, which lies behind them in the first cluster. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        QCOW2_EXTENSION_END = 0,
        QCOW2_EXTENSION_CRYPTO = 0x0537be77,
        QCOW2_EXTENSION_BITMAPS = 0x23852875,
        QCOW2_EXTENSION_DATA_FILE = 0x44415441,
        QCOW2_EXTENSION_FEATURES = 0x6803f857,
};

/* The first cluster. The file holds all of it: the refcount table, which lies behind it, begins within the file. Only
 * of an image with unknown features is that not certain; what is missing is zeroes then. */
typedef struct Qcow2Head {
        const uint8_t *bytes;
        uint64_t end; /* where extensions end at the latest */
} Qcow2Head;

typedef struct Qcow2Extension {
        uint32_t type;
        uint32_t len;
        uint64_t pos; /* of its contents; 0 before the first one */
        const uint8_t *bytes;
} Qcow2Extension;

/* What the extensions say, while they are being read. */
typedef struct Qcow2Said {
        char *backing_format; /* owned */
        char *data_name;      /* owned */
        bool has_crypto;
        Qcow2DiskCrypto crypto;
        bool has_bitmaps;
        Qcow2DiskBitmaps bitmaps;
} Qcow2Said;

static void qcow2_said_done(Qcow2Said *said)
{
        free(said->backing_format);
        free(said->data_name);
}

#define _cleanup_said_ _cleanup_(qcow2_said_done)

static int qcow2_head_read(
        Store *s, const Qcow2Header *h, void **ret_bytes, Qcow2Head *ret, Err *err)
{
        _cleanup_free_ void *bytes = NULL;

        int r = table_read(s, 0, qcow2_cluster_size(h), 1, "header cluster", &bytes, err);
        if (r < 0)
                return r;
        *ret = (Qcow2Head){
                .bytes = bytes,
                .end = h->backing_pos ? u64_min(h->backing_pos, qcow2_cluster_size(h))
                                      : qcow2_cluster_size(h),
        };
        *ret_bytes = TAKE(bytes);
        return 0;
}

/* Steps to the next extension: 1 and *e, or 0 behind the last one. */
static int qcow2_extension_next(const Qcow2Header *h,
                                const Qcow2Head *head,
                                Qcow2Extension *e,
                                Err *err)
{
        uint64_t at = e->pos ? e->pos + round_up(e->len, 8) : h->header_len;
        Qcow2DiskExtension d;

        if (!in_range(at, sizeof(d), head->end))
                return 0;
        memcpy(&d, head->bytes + at, sizeof(d));
        Qcow2Extension next = {
                .type = from_be32(d.type),
                .len = from_be32(d.len),
                .pos = at + sizeof(d),
                .bytes = head->bytes + at + sizeof(d),
        };
        if (next.len > head->end - next.pos)
                return err_set(err, EBADMSG,
                               "header extension 0x%08" PRIx32 " at %" PRIu64 ": length %" PRIu32
                               " is more than the %" PRIu64 " bytes left",
                               next.type, at, next.len, head->end - next.pos);
        if (next.type == QCOW2_EXTENSION_END)
                return 0;
        *e = next;
        return 1;
}

/* A text of an image: bytes without an end mark, in which a NUL would hide the rest. */
static int qcow2_text(const char *what, const uint8_t *bytes, size_t len, char **ret, Err *err)
{
        if (memchr(bytes, 0, len))
                return err_set(err, EBADMSG, "the %s of %zu bytes has a NUL byte in it", what, len);
        char *text = strndup((const char *)bytes, len);
        if (!text)
                return err_set(err, ENOMEM, "%m");
        *ret = text;
        return 0;
}

static int qcow2_take_backing_format(const Qcow2Extension *e, Qcow2Said *said, Err *err)
{
        if (said->backing_format)
                return err_set(err, EBADMSG, "the backing format is stated twice");
        if (e->len == 0 || e->len > QCOW2_FORMAT_NAME_MAX)
                return err_set(err, EBADMSG,
                               "the backing format's length %" PRIu32 " is not within 1 to %d",
                               e->len, QCOW2_FORMAT_NAME_MAX);
        return qcow2_text("backing format", e->bytes, e->len, &said->backing_format, err);
}

static int qcow2_take_data_name(const Qcow2Extension *e, Qcow2Said *said, Err *err)
{
        if (said->data_name)
                return err_set(err, EBADMSG, "the external data file is named twice");
        if (e->len == 0 || e->len > LIMIT_NAME_LEN)
                return err_set(err, EBADMSG,
                               "the length %" PRIu32 " of the external data file's name is not "
                               "within 1 to %d",
                               e->len, LIMIT_NAME_LEN);
        return qcow2_text("name of the external data file", e->bytes, e->len, &said->data_name,
                          err);
}

static int qcow2_take_crypto(const Qcow2Header *h,
                             const Qcow2Extension *e,
                             Qcow2Said *said,
                             Err *err)
{
        Qcow2DiskCrypto d;

        if (said->has_crypto)
                return err_set(err, EBADMSG, "the encryption header is stated twice");
        if (h->crypt_method != QCOW2_CRYPT_LUKS)
                return err_set(err, EBADMSG,
                               "an encryption header does not go with crypt_method %" PRIu32,
                               h->crypt_method);
        if (e->len != sizeof(d))
                return err_set(err, EBADMSG,
                               "the encryption extension's length %" PRIu32 " is not %zu", e->len,
                               sizeof(d));
        memcpy(&d, e->bytes, sizeof(d));
        said->has_crypto = true;
        said->crypto = d;
        return qcow2_check_place(h, "the encryption header's offset", "", from_be64(d.offset),
                                 from_be64(d.length), err);
}

static int qcow2_take_bitmaps(const Qcow2Header *h,
                              const Qcow2Extension *e,
                              Qcow2Said *said,
                              Err *err)
{
        /* Stale since a program that knows no bitmaps wrote to the image: nothing in it holds any more. */
        if (!(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
                return 0;
        if (said->has_bitmaps)
                return err_set(err, EBADMSG, "the bitmaps are stated twice");
        if (e->len != sizeof(said->bitmaps))
                return err_set(err, EBADMSG,
                               "the bitmaps extension's length %" PRIu32 " is not %zu", e->len,
                               sizeof(said->bitmaps));
        memcpy(&said->bitmaps, e->bytes, sizeof(said->bitmaps));
        said->has_bitmaps = true;

        uint32_t count = from_be32(said->bitmaps.nb_bitmaps);
        uint64_t len = from_be64(said->bitmaps.directory_size);
        if (from_be32(said->bitmaps.reserved) != 0)
                return err_set(err, EBADMSG,
                               "the bitmaps extension's reserved field is 0x%" PRIx32 ", not 0",
                               from_be32(said->bitmaps.reserved));
        if (count == 0 || count > QCOW2_BITMAP_COUNT_MAX)
                return err_set(err, EBADMSG, "nb_bitmaps %" PRIu32 " is not within 1 to %d", count,
                               QCOW2_BITMAP_COUNT_MAX);
        if (len > QCOW2_BITMAP_DIRECTORY_LEN_MAX || len / sizeof(Qcow2DiskBitmap) < count)
                return err_set(err, EBADMSG,
                               "bitmap_directory_size %" PRIu64 " is not possible for %" PRIu32
                               " bitmaps",
                               len, count);
        return qcow2_check_place(h, "bitmap_directory_offset", "",
                                 from_be64(said->bitmaps.directory_offset), len, err);
}

static int qcow2_take_extension(const Qcow2Header *h,
                                const Qcow2Extension *e,
                                Qcow2Said *said,
                                Err *err)
{
        switch (e->type) {
        case QCOW2_EXTENSION_BACKING_FORMAT:
                return qcow2_take_backing_format(e, said, err);
        case QCOW2_EXTENSION_DATA_FILE:
                return qcow2_take_data_name(e, said, err);
        case QCOW2_EXTENSION_CRYPTO:
                return qcow2_take_crypto(h, e, said, err);
        case QCOW2_EXTENSION_BITMAPS:
                return qcow2_take_bitmaps(h, e, said, err);
        default:
                /* The feature names serve messages only; by the specification, unknown extensions may be skipped. */
                return 0;
        }
}

/* What an image must say, given what its header says. */
static int qcow2_check_said(const Qcow2Header *h, const Qcow2Said *said, Err *err)
{
        if (qcow2_has_data_file(h) && !said->data_name)
                return err_set(err, EBADMSG,
                               "incompatible bit 2 is set, but no header extension names the "
                               "external data file");
        if (h->crypt_method == QCOW2_CRYPT_LUKS && !said->has_crypto)
                return err_set(err, EBADMSG,
                               "crypt_method 2 is set, but no header extension says where the "
                               "encryption header is");
        return 0;
}

static int qcow2_read_backing_name(const Qcow2Header *h,
                                   const Qcow2Head *head,
                                   char **ret,
                                   Err *err)
{
        if (h->backing_pos == 0 || h->backing_len == 0)
                return 0;
        return qcow2_text("backing file's name", head->bytes + h->backing_pos, h->backing_len, ret,
                          err);
}

int qcow2_extensions_read(Node *n, Qcow2 *q, Err *err)
{
        const Qcow2Header *h = &q->header;
        _cleanup_free_ void *bytes = NULL;
        _cleanup_free_ char *backing_name = NULL;
        _cleanup_said_ Qcow2Said said = { 0 };
        Qcow2Extension e = { 0 };
        Qcow2Head head;

        int r = qcow2_head_read(n->store, h, &bytes, &head, err);
        if (r < 0)
                return r;
        while ((r = qcow2_extension_next(h, &head, &e, err)) > 0) {
                r = qcow2_take_extension(h, &e, &said, err);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = qcow2_check_said(h, &said, err);
        if (r < 0)
                return r;
        r = qcow2_read_backing_name(h, &head, &backing_name, err);
        if (r < 0)
                return r;

        if (qcow2_has_data_file(h))
                q->data_name = TAKE(said.data_name);
        if (said.has_crypto) {
                q->crypto_pos = from_be64(said.crypto.offset);
                q->crypto_len = from_be64(said.crypto.length);
        }
        if (said.has_bitmaps) {
                q->bitmap_count = from_be32(said.bitmaps.nb_bitmaps);
                q->bitmaps_len = from_be64(said.bitmaps.directory_size);
                q->bitmaps_pos = from_be64(said.bitmaps.directory_offset);
        }
        if (backing_name) {
                n->backing_name = TAKE(backing_name);
                n->backing_format = TAKE(said.backing_format);
        }
        return 0;
}

/* The image's own name for a feature bit, or NULL. The caller owns it. */
static char *qcow2_feature_name(const Qcow2Header *h,
                                const Qcow2Head *head,
                                Qcow2FeatureKind kind,
                                unsigned bit)
{
        Qcow2Extension e = { 0 };

        while (qcow2_extension_next(h, head, &e, NULL) > 0) {
                if (e.type != QCOW2_EXTENSION_FEATURES)
                        continue;
                for (size_t i = 0; i < e.len / sizeof(Qcow2DiskFeatureName); i++) {
                        Qcow2DiskFeatureName d;
                        memcpy(&d, e.bytes + i * sizeof(d), sizeof(d));
                        if (d.kind == kind && d.bit == bit && d.name[0])
                                return strndup(d.name, sizeof(d.name));
                }
        }
        return NULL;
}

int qcow2_refuse_features(Store *s, const Qcow2Header *h, Err *err)
{
        uint64_t unknown = h->incompatible & ~QCOW2_INCOMPATIBLE_KNOWN;
        unsigned bit = (unsigned)__builtin_ctzll(unknown);
        int others = __builtin_popcountll(unknown) - 1;
        _cleanup_free_ void *bytes = NULL;
        _cleanup_free_ char *name = NULL;
        char more[64] = "";
        Qcow2Head head;

        int r = qcow2_head_read(s, h, &bytes, &head, err);
        if (r < 0)
                return r;
        name = qcow2_feature_name(h, &head, QCOW2_FEATURE_INCOMPATIBLE, bit);
        if (others > 0)
                snprintf(more, sizeof(more), " (and %d other unknown feature%s)", others,
                         others == 1 ? "" : "s");
        if (!name)
                return err_set(err, EOPNOTSUPP,
                               "uses the feature of incompatible bit %u, which rawview does not "
                               "know%s",
                               bit, more);
        return err_set(err, EOPNOTSUPP,
                       "uses the feature '%s' (incompatible bit %u), which rawview does not know%s",
                       name, bit, more);
}
