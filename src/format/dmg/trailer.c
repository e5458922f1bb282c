/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "format/dmg/dmg.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
        ENCRYPTED_MAGIC_LEN = 8,
};

/* An encrypted image hides its trailer: the newer kind begins with a word, the older one ends with it, turned around. */
static int dmg_refuse_encrypted(Store *s, uint64_t file_size, Err *err)
{
        char head[ENCRYPTED_MAGIC_LEN], tail[ENCRYPTED_MAGIC_LEN];

        if (file_size < ENCRYPTED_MAGIC_LEN)
                return 0;
        int r = store_read(s, head, sizeof(head), 0);
        if (r >= 0)
                r = store_read(s, tail, sizeof(tail), file_size - sizeof(tail));
        if (r < 0)
                return err_set(err, -r, "cannot read it: %m");
        if (memcmp(head, "encrcdsa", sizeof(head)) == 0 ||
            memcmp(tail, "cdsaencr", sizeof(tail)) == 0)
                return err_set(err, EOPNOTSUPP,
                               "the image is encrypted (encrcdsa), which this version cannot read");
        return 0;
}

static int dmg_check_segments(const DmgTrailer *t, Err *err)
{
        uint32_t count = from_be32(t->segment_count);

        if (count <= 1)
                return 0;
        return err_set(err, EOPNOTSUPP,
                       "the image is segment %" PRIu32 " of %" PRIu32
                       " (.dmgpart), of which only one can be read",
                       from_be32(t->segment), count);
}

static int dmg_check_range(const char *what, be64 pos, be64 len, uint64_t file_size, Err *err)
{
        if (in_range(from_be64(pos), from_be64(len), file_size))
                return 0;
        return err_set(err, EBADMSG,
                       "the %s, %" PRIu64 " bytes at %" PRIu64
                       ", does not lie within the file of %" PRIu64 " bytes",
                       what, from_be64(len), from_be64(pos), file_size);
}

int dmg_trailer_read(Store *s, uint64_t file_size, DmgTrailer *ret, Err *err)
{
        DmgTrailer t;

        int r = dmg_refuse_encrypted(s, file_size, err);
        if (r < 0)
                return r;
        if (file_size < sizeof(t))
                return err_set(err, ENODATA,
                               "the file of %" PRIu64
                               " bytes is too short for the trailer of %zu bytes",
                               file_size, sizeof(t));
        r = store_read_named(s, &t, sizeof(t), file_size - sizeof(t), "the trailer", err);
        if (r < 0)
                return r;
        if (memcmp(t.magic, "koly", sizeof(t.magic)) != 0)
                return err_set(err, EBADMSG,
                               "the file does not end with a trailer, which begins with 'koly'");
        if (from_be32(t.version) != DMG_VERSION)
                return err_set(err, EOPNOTSUPP, "the trailer has version %" PRIu32 ", not %d",
                               from_be32(t.version), DMG_VERSION);
        if (from_be32(t.header_len) != DMG_TRAILER_LEN)
                return err_set(err, EBADMSG, "the trailer has a length of %" PRIu32 ", not %d",
                               from_be32(t.header_len), DMG_TRAILER_LEN);
        r = dmg_check_segments(&t, err);
        if (r < 0)
                return r;
        r = dmg_check_range("data fork", t.data_pos, t.data_len, file_size, err);
        if (r < 0)
                return r;
        r = dmg_check_range("resource fork", t.resource_pos, t.resource_len, file_size, err);
        if (r < 0)
                return r;
        r = dmg_check_range("property list", t.xml_pos, t.xml_len, file_size, err);
        if (r < 0)
                return r;
        *ret = t;
        return 0;
}
