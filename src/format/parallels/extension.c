/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format extension: one cluster with a checksum and features. No feature changes what the disk shows. A dirty bitmap
 * says what was written since a backup; we do not keep it, so an image that has one is written to only where the bitmap's
 * maker allows programs that do not know it.
 */
#include "format/parallels/parallels.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table.h"
#include "codec/md5.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PARALLELS_EXTENSION_MAGIC UINT64_C(0xab234cef23dcea87)
#define PARALLELS_DIRTY_BITMAP UINT64_C(0x20385fae252cb34a)

enum {
        /* A writer that does not know the feature must not change the file; it has to leave the feature as it is. */
        PARALLELS_NECESSARY = 1,
        PARALLELS_TRANSIT = 2,
};

typedef struct ParallelsDiskExtension {
        le64 magic;
        uint8_t md5[MD5_LEN]; /* of the rest of the cluster */
} ParallelsDiskExtension;
_Static_assert(sizeof(ParallelsDiskExtension) == 24, "as it lies in the file");

typedef struct ParallelsDiskFeature {
        le64 magic, flags;
        le32 len, unused;
} ParallelsDiskFeature;
_Static_assert(sizeof(ParallelsDiskFeature) == 24, "as it lies in the file");

typedef struct ParallelsDiskBitmap {
        le64 sectors;
        uint8_t id[16];
        le32 granularity, l1_entries;
} ParallelsDiskBitmap;
_Static_assert(sizeof(ParallelsDiskBitmap) == 32, "as it lies in the file");

/* Specification, "Dirty bitmaps feature". */
static int parallels_check_bitmap(
        const Node *n, const Parallels *p, const uint8_t *bytes, uint32_t len, Err *err)
{
        ParallelsDiskBitmap b;

        if (len < sizeof(b))
                return err_set(err, EBADMSG,
                               "the dirty bitmap has %" PRIu32 " bytes, less than %zu", len,
                               sizeof(b));
        memcpy(&b, bytes, sizeof(b));
        uint64_t granularity = from_le32(b.granularity);
        if (from_le64(b.sectors) != n->size / PARALLELS_SECTOR)
                return err_set(err, EBADMSG,
                               "the dirty bitmap is for %" PRIu64
                               " sectors, and the disk has %" PRIu64,
                               from_le64(b.sectors), n->size / PARALLELS_SECTOR);
        if (!is_power_of_two(granularity))
                return err_set(err, EBADMSG,
                               "the granularity %" PRIu64 " of the dirty bitmap is no power of two",
                               granularity);
        uint64_t bits = div_round_up(from_le64(b.sectors), granularity);
        uint64_t need = div_round_up(div_round_up(bits, 8), p->flat.block_size);
        if (from_le32(b.l1_entries) != need ||
            len - sizeof(b) < from_le32(b.l1_entries) * (uint64_t)sizeof(le64))
                return err_set(err, EBADMSG,
                               "the dirty bitmap has %" PRIu32 " entries in %" PRIu32
                               " bytes, and needs %" PRIu64,
                               from_le32(b.l1_entries), len, need);
        return 0;
}

static void parallels_note_feature(Parallels *p, const ParallelsDiskFeature *f)
{
        uint64_t magic = from_le64(f->magic), flags = from_le64(f->flags);
        bool is_bitmap = magic == PARALLELS_DIRTY_BITMAP;

        p->has_features = true;
        if (flags == PARALLELS_TRANSIT || p->refusal[0] != '\0')
                return;
        snprintf(p->refusal, sizeof(p->refusal),
                 "the format extension has %s 0x%" PRIx64 " (flags 0x%" PRIx64 ")",
                 is_bitmap ? "a dirty bitmap," : "the unknown feature", magic, flags);
}

/* Bytes of the cluster behind the magic and the checksum. */
static int parallels_read_features(
        const Node *n, Parallels *p, const uint8_t *bytes, uint64_t len, Err *err)
{
        uint64_t at = 0;

        while (in_range(at, sizeof(le64), len)) {
                ParallelsDiskFeature f = { 0 };
                memcpy(&f, bytes + at, u64_min(sizeof(f), len - at));
                if (from_le64(f.magic) == 0)
                        return 0;
                if (!in_range(at, sizeof(f), len) || from_le32(f.len) > len - at - sizeof(f))
                        return err_set(err, EBADMSG,
                                       "the feature 0x%" PRIx64 " of %" PRIu32
                                       " bytes reaches past the end of the format extension",
                                       from_le64(f.magic), from_le32(f.len));
                at += sizeof(f);
                if (from_le64(f.magic) == PARALLELS_DIRTY_BITMAP) {
                        int r = parallels_check_bitmap(n, p, bytes + at, from_le32(f.len), err);
                        if (r < 0)
                                return r;
                }
                parallels_note_feature(p, &f);
                at += round_up(from_le32(f.len), sizeof(le64));
        }
        return 0;
}

int parallels_extension_read(Node *n, Err *err)
{
        Parallels *p = n->state;
        uint64_t len = p->flat.block_size;
        _cleanup_free_ void *cluster = NULL;
        ParallelsDiskExtension e;
        uint8_t sum[MD5_LEN];
        Md5 m;

        if (p->ext_pos == 0)
                return 0;
        if (!in_range(p->ext_pos, len, p->flat.file_size))
                return err_set(err, ENODATA,
                               "ext_off: the format extension at %" PRIu64
                               " reaches past the end of the file (%" PRIu64 " bytes)",
                               p->ext_pos, p->flat.file_size);
        if (len < sizeof(e))
                return err_set(err, EBADMSG, "a cluster has no room for the format extension");
        int r = table_read(n->store, p->ext_pos, len, 1, "format extension", &cluster, err);
        if (r < 0)
                return r;
        memcpy(&e, cluster, sizeof(e));
        if (from_le64(e.magic) != PARALLELS_EXTENSION_MAGIC)
                return err_set(err, EBADMSG, "the format extension begins with 0x%" PRIx64,
                               from_le64(e.magic));
        const uint8_t *rest = (const uint8_t *)cluster + sizeof(e);
        md5_begin(&m);
        md5_add(&m, rest, (size_t)(len - sizeof(e)));
        md5_end(&m, sum);
        if (memcmp(sum, e.md5, sizeof(sum)) != 0)
                return err_set(err, EBADMSG, "the checksum of the format extension is wrong");
        return parallels_read_features(n, p, rest, len - sizeof(e), err);
}
