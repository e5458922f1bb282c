/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `rawview info` prints beyond size and names. The keys are ours: qemu-img does not know the format. */
#include "format/ewf/ewf.h"

#include <stdio.h>

static const char *ewf_media_name(uint8_t type)
{
        switch (type) {
        case EWF_MEDIA_REMOVABLE:
                return "removable";
        case EWF_MEDIA_FIXED:
                return "fixed";
        case EWF_MEDIA_OPTICAL:
                return "optical";
        default:
                return "memory";
        }
}

static int ewf_add_hex(Info *info, const char *key, const uint8_t *bytes, size_t len)
{
        char text[2 * EWF_SHA1_LEN + 1] = "";

        for (size_t i = 0; i < len; i++)
                snprintf(text + 2 * i, 3, "%02x", bytes[i]);
        return info_add_text(info, key, text);
}

static int ewf_describe_media(const Ewf *e, Info *info)
{
        int r = info_add_text(info, "media-type", ewf_media_name(e->media_type));
        if (r >= 0)
                r = info_add_number(info, "bytes-per-sector", e->sector_len);
        if (r >= 0)
                r = info_add_number(info, "sectors", e->sector_count);
        if (r >= 0)
                r = info_add_number(info, "sectors-per-chunk", e->chunk_sectors);
        if (r >= 0)
                r = info_add_number(info, "segments", e->segment_count);
        return r;
}

/* Of an image whose further segments are not open this is not known: they stand at the end of the last one. */
static int ewf_describe_end(const Ewf *e, Info *info)
{
        int r = info_add_bool(info, "complete", e->is_complete);
        if (r >= 0 && e->error_ranges > 0)
                r = info_add_number(info, "acquisition-errors", e->error_ranges);
        if (r >= 0 && e->sessions > 0)
                r = info_add_number(info, "sessions", e->sessions);
        if (r >= 0 && e->has_md5)
                r = ewf_add_hex(info, "md5", e->md5, sizeof(e->md5));
        if (r >= 0 && e->has_sha1)
                r = ewf_add_hex(info, "sha1", e->sha1, sizeof(e->sha1));
        return r;
}

int ewf_describe(Node *n, Info *info)
{
        const Ewf *e = n->state;

        info->cluster_size = e->chunk_len;
        int r = ewf_describe_media(e, info);
        return r < 0 ? r : ewf_describe_end(e, info);
}
