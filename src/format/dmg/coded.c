/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packed chunks. Each call has memory of its own: what it unpacks from, and what dmg_codec_cost says. */
#include "base/cleanup.h"
#include "codec/adc.h"
#include "codec/bunzip2.h"
#include "codec/inflate.h"
#include "codec/lzfse.h"
#include "codec/unxz.h"
#include "format/dmg/dmg.h"

#include <errno.h>
#include <string.h>

const char *dmg_codec_name(DmgType type)
{
        switch (type) {
        case DMG_ADC:
                return "ADC";
        case DMG_ZLIB:
                return "zlib";
        case DMG_BZIP2:
                return "bzip2";
        case DMG_LZFSE:
                return "LZFSE";
        case DMG_LZMA:
                return "LZMA";
        default:
                return NULL;
        }
}

bool dmg_codec_is_there(DmgType type)
{
        if (type == DMG_BZIP2)
                return bunzip2_is_there();
        return type != DMG_LZMA || unxz_is_there();
}

uint64_t dmg_codec_cost(DmgType type)
{
        /* LZMA's dictionary is as long as the chunk at most. */
        return type == DMG_BZIP2 ? BUNZIP2_MEMORY : type == DMG_LZMA ? LIMIT_CODED_LEN : 0;
}

static int dmg_unpack(
        DmgType type, const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        switch (type) {
        case DMG_ADC:
                return adc_all(packed, packed_len, buf, len, ret_len);
        case DMG_ZLIB:
                return inflate_all(INFLATE_ZLIB, packed, packed_len, buf, len, ret_len);
        case DMG_BZIP2:
                return bunzip2_all(packed, packed_len, buf, len, ret_len);
        case DMG_LZFSE:
                return lzfse_all(packed, packed_len, buf, len, ret_len);
        case DMG_LZMA:
                return unxz_all(packed, packed_len, buf, len, ret_len);
        default:
                return -EIO;
        }
}

int dmg_read_coded(Node *n, const Extent *e, void *buf)
{
        const Dmg *d = n->state;
        const DmgChunk *c = &d->chunks[e->cookie];
        size_t got = 0;

        _cleanup_free_ uint8_t *packed = malloc(c->packed_len > 0 ? c->packed_len : 1);
        if (!packed)
                return -ENOMEM;
        int r = store_read(n->store, packed, c->packed_len, c->pos);
        if (r < 0)
                return r;
        r = dmg_unpack(c->type, packed, c->packed_len, buf, (size_t)e->len, &got);
        if (r < 0 || got == e->len)
                return r;
        /* The disk may have ended before the last chunk's last sector did; nothing else may be missing. */
        if (e->cookie + 1 < d->chunk_count)
                return -EIO;
        memset((uint8_t *)buf + got, 0, (size_t)e->len - got);
        return 0;
}
