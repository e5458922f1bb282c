/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "store/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* Version 1 with clusters of 4096 bytes and L2 tables of 64 entries: header, name and L1 table, L2 table, data, packed
 * data. */
enum {
        QCOW_NAME_AT = 48,
        QCOW_L1 = 0x200,
        QCOW_L2 = 0x1000,
        QCOW_A = 0x2000,
        QCOW_ZEROES = 0x3000, /* there is no other mark for zeroes */
        QCOW_D = 0x4000,
        QCOW_END = 0x5000,
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

/* This format states no other one: it stands in the name. */
static void put_name(uint8_t *image, const char *name, const char *below)
{
        char text[256];

        snprintf(text, sizeof(text), "json:{\"driver\":\"%s\",\"file.filename\":\"%s\"}", below,
                 name);
        put64(image, 8, QCOW_NAME_AT);
        put32(image, 16, (uint32_t)strlen(text));
        memcpy(image + QCOW_NAME_AT, text, strlen(text));
}

/* Packs 'D's; *ret_len bytes. */
static int put_packed(uint8_t *image, uint64_t *ret_len)
{
        uint8_t plain[SAMPLE_GRANULE];
        z_stream z = { 0 };

        memset(plain, 'D', sizeof(plain));
        if (deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK)
                return -ENOMEM;
        z.next_in = plain;
        z.avail_in = sizeof(plain);
        z.next_out = image + QCOW_D;
        z.avail_out = QCOW_END - QCOW_D;
        int r = deflate(&z, Z_FINISH);
        *ret_len = z.total_out;
        deflateEnd(&z);
        return r == Z_STREAM_END ? 0 : -EIO;
}

/* Declared by sample.c alone. */
int qcow_sample_make(const char *name, const char *below, Store **ret);

int qcow_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, QCOW_END);
        uint64_t packed_len = 0;
        if (!image)
                return -ENOMEM;
        int r = put_packed(image, &packed_len);
        if (r < 0)
                return r;
        memcpy(image, "QFI\xfb", 4);
        put32(image, 4, 1);
        put64(image, 24, SAMPLE_SIZE);
        image[32] = 12;
        image[33] = 6;
        put64(image, 40, QCOW_L1);
        if (name)
                put_name(image, name, below);
        put64(image, QCOW_L1, QCOW_L2);
        put64(image, QCOW_L2, QCOW_A);
        put64(image, QCOW_L2 + 8, QCOW_ZEROES);
        put64(image, QCOW_L2 + 24, UINT64_C(1) << 63 | packed_len << (63 - 12) | QCOW_D);
        memset(image + QCOW_A, 'A', SAMPLE_GRANULE);
        return mem_store_new(image, QCOW_END, ret);
}
