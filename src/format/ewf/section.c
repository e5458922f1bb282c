/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the sections say, but for tables. */
#include "base/bits.h"
#include "block/limits.h"
#include "format/ewf/ewf.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int ewf_read_section_part(const EwfSection *s, uint64_t at, void *buf, size_t len, Err *err)
{
        uint64_t pos = s->pos + EWF_SECTION_LEN + at;

        if (!in_range(pos, len, s->end))
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64 ": %" PRIu64
                               " bytes are too few for what it has to say",
                               s->type, s->pos, s->end - s->pos);
        int r = store_read(s->store, buf, len, pos);
        if (r < 0 && r != -ENODATA)
                return err_set(err, -r, "section %s at %" PRIu64 ": cannot read it: %m", s->type,
                               s->pos);
        return r;
}

/* The first `len` bytes, of which the last four are the checksum of the others. */
static int ewf_read_summed(const EwfSection *s, void *buf, size_t len, Err *err)
{
        le32 sum;

        int r = ewf_read_section_part(s, 0, buf, len, err);
        if (r < 0)
                return r;
        memcpy(&sum, (uint8_t *)buf + len - sizeof(sum), sizeof(sum));
        if (from_le32(sum) != ewf_sum(buf, len - sizeof(sum)))
                return err_set(err, EBADMSG, "section %s at %" PRIu64 ": its checksum is wrong",
                               s->type, s->pos);
        return 0;
}

static int ewf_check_media(const EwfDiskVolume *v, Err *err)
{
        switch (v->media_type) {
        case EWF_MEDIA_REMOVABLE:
        case EWF_MEDIA_FIXED:
        case EWF_MEDIA_OPTICAL:
        case EWF_MEDIA_MEMORY:
                break;
        case EWF_MEDIA_LOGICAL:
                return err_set(err, EOPNOTSUPP, "is logical evidence: single files, and no disk");
        default:
                return err_set(err, EOPNOTSUPP, "media type %u is not known", v->media_type);
        }
        if (v->compression > EWF_COMPRESSION_MAX)
                return err_set(err, EOPNOTSUPP, "compression level %u is not known",
                               v->compression);
        return 0;
}

static int ewf_check_geometry(const EwfDiskVolume *v, Err *err)
{
        uint32_t sector_len = from_le32(v->sector_len), sectors = from_le32(v->chunk_sectors);
        uint64_t count = from_le64(v->sector_count), size;

        if (sector_len == 0 || !is_aligned(sector_len, EWF_SECTOR))
                return err_set(err, EBADMSG, "sector size %" PRIu32 " is not a multiple of 512",
                               sector_len);
        if (sectors == 0)
                return err_set(err, EBADMSG, "there are 0 sectors in a chunk");
        if ((uint64_t)sectors * sector_len > LIMIT_CODED_LEN)
                return err_set(err, EFBIG,
                               "chunks of %" PRIu32 " sectors of %" PRIu32
                               " bytes are longer than the limit of %" PRIu64,
                               sectors, sector_len, LIMIT_CODED_LEN);
        if (__builtin_mul_overflow(count, (uint64_t)sector_len, &size) || size > LIMIT_DISK_SIZE)
                return err_set(err, EFBIG,
                               "%" PRIu64 " sectors of %" PRIu32
                               " bytes are more than the limit of %" PRIu64 " bytes",
                               count, sector_len, LIMIT_DISK_SIZE);
        /* 0 while an acquisition goes on; more where the last sector was not a whole one. */
        uint32_t chunks = from_le32(v->chunk_count);
        if (chunks != 0 && chunks < div_round_up(count, sectors))
                return err_set(err, EBADMSG,
                               "%" PRIu32 " chunks of %" PRIu32 " sectors do not hold %" PRIu64
                               " sectors",
                               chunks, sectors, count);
        return 0;
}

/* Each segment says it again, so that one of another image is noticed. */
static int ewf_compare_volume(const Ewf *e, const EwfDiskVolume *v, Err *err)
{
        if (memcmp(v->set, e->set, EWF_SET_LEN) != 0)
                return err_set(err, EBADMSG,
                               "its set identifier is another one than that of segment 1: it "
                               "belongs to another image");
        if (from_le32(v->sector_len) != e->sector_len ||
            from_le32(v->chunk_sectors) != e->chunk_sectors ||
            from_le64(v->sector_count) != e->sector_count)
                return err_set(err, EBADMSG,
                               "it tells of %" PRIu64 " sectors of %" PRIu32 " bytes, %" PRIu32
                               " of them in a chunk, and segment 1 of %" PRIu64 " of %" PRIu32
                               ", %" PRIu32 " in a chunk",
                               from_le64(v->sector_count), from_le32(v->sector_len),
                               from_le32(v->chunk_sectors), e->sector_count, e->sector_len,
                               e->chunk_sectors);
        return 0;
}

int ewf_take_volume(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        EwfDiskVolume v;

        if (s->end - s->pos == EWF_SECTION_LEN + EWF_SMART_VOLUME_LEN)
                return err_set(err, EOPNOTSUPP,
                               "is an EWF-S01 (SMART), which this version cannot read");
        int r = ewf_read_summed(s, &v, sizeof(v), err);
        if (r < 0)
                return r;
        if (e->has_volume)
                return ewf_compare_volume(e, &v, err);
        r = ewf_check_media(&v, err);
        if (r >= 0)
                r = ewf_check_geometry(&v, err);
        if (r < 0)
                return r;
        e->has_volume = true;
        e->media_type = v.media_type;
        e->media_flags = v.media_flags;
        e->compression = v.compression;
        e->sector_len = from_le32(v.sector_len);
        e->chunk_sectors = from_le32(v.chunk_sectors);
        e->sector_count = from_le64(v.sector_count);
        e->chunk_len = e->chunk_sectors * e->sector_len;
        e->chunk_count = div_round_up(e->sector_count, e->chunk_sectors);
        memcpy(e->set, v.set, EWF_SET_LEN);
        return 0;
}

static bool ewf_is_zero(const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (bytes[i] != 0)
                        return false;
        return true;
}

/* MD5, 16 bytes that are not zero for sure, a checksum. */
static int ewf_take_hash(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        uint8_t hash[EWF_HASH_LEN];

        int r = ewf_read_summed(s, hash, sizeof(hash), err);
        if (r < 0)
                return r;
        e->has_md5 = !ewf_is_zero(hash, MD5_LEN);
        memcpy(e->md5, hash, MD5_LEN);
        return 0;
}

/* MD5, SHA-1, padding, a checksum. */
static int ewf_take_digest(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        uint8_t digest[EWF_DIGEST_LEN];

        int r = ewf_read_summed(s, digest, sizeof(digest), err);
        if (r < 0)
                return r;
        e->has_sha1 = !ewf_is_zero(digest + MD5_LEN, EWF_SHA1_LEN);
        memcpy(e->sha1, digest + MD5_LEN, EWF_SHA1_LEN);
        if (!e->has_md5 && !ewf_is_zero(digest, MD5_LEN)) {
                e->has_md5 = true;
                memcpy(e->md5, digest, MD5_LEN);
        }
        return 0;
}

/* Sectors that could not be read when the image was made, and read as zeroes; for `info`. */
static int ewf_take_errors(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        le32 count;

        int r = ewf_read_section_part(s, 0, &count, sizeof(count), err);
        if (r >= 0)
                e->error_ranges += from_le32(count);
        return r;
}

static int ewf_take_sessions(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        le32 count;

        int r = ewf_read_section_part(s, 0, &count, sizeof(count), err);
        if (r >= 0)
                e->sessions += from_le32(count);
        return r;
}

static int ewf_take_chunks(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;

        e->data_pos = s->pos + EWF_SECTION_LEN;
        e->data_end = s->end;
        return 0;
}

/* Who made the image, when, with what: texts that nothing depends on. And the ends. */
static int ewf_take_nothing(Node *n, const EwfSection *s, Err *err)
{
        return 0;
}

static int ewf_refuse_logical(Node *n, const EwfSection *s, Err *err)
{
        return err_set(err, EOPNOTSUPP, "is logical evidence (section %s): single files, no disk",
                       s->type);
}

typedef struct EwfType {
        const char *name;
        int (*take)(Node *n, const EwfSection *s, Err *err);
} EwfType;

static const EwfType ewf_types[] = {
        { "header", ewf_take_nothing },   { "header2", ewf_take_nothing },
        { "xheader", ewf_take_nothing },  { "volume", ewf_take_volume },
        { "disk", ewf_take_volume },      { "data", ewf_take_volume },
        { "sectors", ewf_take_chunks },   { "table", ewf_take_table },
        { "table2", ewf_take_copy },      { "error2", ewf_take_errors },
        { "session", ewf_take_sessions }, { "digest", ewf_take_digest },
        { "hash", ewf_take_hash },        { "xhash", ewf_take_nothing },
        { "next", ewf_take_nothing },     { "done", ewf_take_nothing },
        { "ltree", ewf_refuse_logical },  { "ltypes", ewf_refuse_logical },
        { "map", ewf_refuse_logical },
};

int ewf_take_section(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;

        for (size_t i = 0; i < sizeof(ewf_types) / sizeof(ewf_types[0]); i++) {
                const EwfType *t = &ewf_types[i];
                if (strcmp(s->type, t->name) != 0)
                        continue;
                int r = t->take == ewf_take_copy ? 0 : ewf_end_table(e, err);
                return r < 0 ? r : t->take(n, s, err);
        }
        return err_set(err, EOPNOTSUPP,
                       "section at %" PRIu64 ": a section of type '%s' is not known", s->pos,
                       s->type);
}
