/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

enum {
        CLOOP_SIZES = 128,
        CLOOP_TABLE = 136,
        CLOOP_MAX = 16384,
};

static void put_pos(uint8_t *image, size_t index, uint64_t pos)
{
        be64 raw = to_be64(pos);
        memcpy(image + CLOOP_TABLE + index * sizeof(raw), &raw, sizeof(raw));
}

int cloop_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, CLOOP_MAX);
        const be32 sizes[] = { to_be32(SAMPLE_GRANULE), to_be32(SAMPLE_GRANULES) };
        size_t end = CLOOP_TABLE + (SAMPLE_GRANULES + 1) * sizeof(be64);

        if (!image)
                return -ENOMEM;
        strcpy((char *)image, "#!/bin/sh\n#V2.0 Format\n");
        memcpy(image + CLOOP_SIZES, sizes, sizeof(sizes));
        for (size_t i = 0; i < SAMPLE_GRANULES; i++) {
                uint8_t plain[SAMPLE_GRANULE];
                uLongf len = CLOOP_MAX - end;
                memset(plain, sample_byte(i * SAMPLE_GRANULE, 0), sizeof(plain));
                put_pos(image, i, end);
                if (compress(image + end, &len, plain, sizeof(plain)) != Z_OK)
                        return -EIO;
                end += len;
        }
        put_pos(image, SAMPLE_GRANULES, end);
        return mem_store_new(image, end, ret);
}
