/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

/* A granule as it is, one packed; then the tables in a resource fork, and the trailer. */
enum {
        SECTORS = SAMPLE_GRANULE / 512,
        DATA = 0,
        PACKED = SAMPLE_GRANULE,
        TABLES = 2 * SAMPLE_GRANULE,
        BLOCK = TABLES + 16,
        CHUNKS = BLOCK + 4 + 204,
        CHUNK_COUNT = 3,
        TRAILER = CHUNKS + 40 * CHUNK_COUNT,
        END = TRAILER + 512,
};

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        be32 raw = to_be32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put64(uint8_t *image, size_t at, uint64_t value)
{
        be64 raw = to_be64(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put_chunk(
        uint8_t *image, size_t i, uint32_t type, uint64_t granule, uint64_t pos, uint64_t len)
{
        size_t at = CHUNKS + 40 * i;

        put32(image, at, type);
        put64(image, at + 8, granule * SECTORS);
        put64(image, at + 16, SECTORS);
        put64(image, at + 24, pos);
        put64(image, at + 32, len);
}

int dmg_sample_make(const char *name, const char *below, Store **ret)
{
        uint8_t plain[SAMPLE_GRANULE];
        uLongf packed_len = SAMPLE_GRANULE;
        _cleanup_free_ uint8_t *image = calloc(1, END);

        if (!image)
                return -ENOMEM;
        memset(image + DATA, 'A', SAMPLE_GRANULE);
        memset(plain, 'D', sizeof(plain));
        if (compress(image + PACKED, &packed_len, plain, sizeof(plain)) != Z_OK)
                return -ENOMEM;
        put_chunk(image, 0, 1, 0, DATA, SAMPLE_GRANULE);
        put_chunk(image, 1, 0, 1, 0, 0);
        put_chunk(image, 2, 0x80000005, 3, PACKED, packed_len);

        put32(image, TABLES, 16);
        put32(image, TABLES + 8, TRAILER - BLOCK);
        put32(image, BLOCK, TRAILER - BLOCK - 4);
        memcpy(image + BLOCK + 4, "mish", 4);
        put32(image, BLOCK + 4 + 4, 1);
        put64(image, BLOCK + 4 + 16, SAMPLE_GRANULES * SECTORS);
        put32(image, BLOCK + 4 + 200, CHUNK_COUNT);

        memcpy(image + TRAILER, "koly", 4);
        put32(image, TRAILER + 4, 4);
        put32(image, TRAILER + 8, 512);
        put64(image, TRAILER + 32, TABLES);
        put64(image, TRAILER + 40, TABLES);
        put64(image, TRAILER + 48, TRAILER - TABLES);
        put64(image, TRAILER + 492, SAMPLE_GRANULES * SECTORS);
        return mem_store_new(image, END, ret);
}
