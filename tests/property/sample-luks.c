/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A LUKS container, and a qcow2 image that is encrypted with LUKS. */
#include "sample-luks.h"

#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "fake/luks.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>

static void fill_disk(uint8_t *disk)
{
        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                disk[off] = sample_byte(off, 0);
}

int luks_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, FAKE_LUKS_PAYLOAD + SAMPLE_SIZE);
        _cleanup_sector_cipher_ SectorCipher *c = NULL;

        int r = image ? fake_luks_header(image) : -ENOMEM;
        if (r >= 0)
                r = fake_luks_cipher(&c);
        if (r < 0)
                return r;
        fill_disk(image + FAKE_LUKS_PAYLOAD);
        r = sector_cipher_encrypt(c, 0, image + FAKE_LUKS_PAYLOAD, SAMPLE_SIZE);
        return r < 0 ? r : mem_store_new(image, FAKE_LUKS_PAYLOAD + SAMPLE_SIZE, ret);
}

/* Version 3 with clusters of 4096 bytes: header, L1, L2, refcount table, refcount block, two of data, the encryption header. */
enum {
        QCOW2_CLUSTER = 0x1000,
        QCOW2_L1 = 0x1000,
        QCOW2_L2 = 0x2000,
        QCOW2_REFCOUNT_TABLE = 0x3000,
        QCOW2_REFCOUNT_BLOCK = 0x4000,
        QCOW2_DATA = 0x5000,
        QCOW2_OTHER_DATA = 0x6000,
        QCOW2_CRYPTO = 0x7000,
        QCOW2_CRYPTO_CLUSTERS = (FAKE_LUKS_PAYLOAD + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER,
        QCOW2_END = QCOW2_CRYPTO + QCOW2_CRYPTO_CLUSTERS * QCOW2_CLUSTER,
        QCOW2_NAME_AT = 0x200,
};

static const uint64_t copied = UINT64_C(1) << 63;

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

static void put_extensions(uint8_t *image, const char *name, const char *below)
{
        size_t at = 104;

        put32(image, at, 0x0537be77);
        put32(image, at + 4, 16);
        put64(image, at + 8, QCOW2_CRYPTO);
        put64(image, at + 16, FAKE_LUKS_PAYLOAD);
        at += 24;
        if (below) {
                put32(image, at, 0xe2792aca);
                put32(image, at + 4, (uint32_t)strlen(below));
                memcpy(image + at + 8, below, strlen(below));
        }
        if (name) {
                put64(image, 8, QCOW2_NAME_AT);
                put32(image, 16, (uint32_t)strlen(name));
                memcpy(image + QCOW2_NAME_AT, name, strlen(name));
        }
}

static void put_header(uint8_t *image)
{
        memcpy(image, "QFI\xfb", 4);
        put32(image, 4, 3);
        put32(image, 20, 12);
        put64(image, 24, SAMPLE_SIZE);
        put32(image, 32, 2);
        put32(image, 36, 1);
        put64(image, 40, QCOW2_L1);
        put64(image, 48, QCOW2_REFCOUNT_TABLE);
        put32(image, 56, 1);
        put32(image, 96, 4);
        put32(image, 100, 104);
        put64(image, QCOW2_L1, QCOW2_L2 | copied);
        put64(image, QCOW2_L2, QCOW2_DATA | copied);
        put64(image, QCOW2_L2 + 8, 1);
        put64(image, QCOW2_L2 + 24, QCOW2_OTHER_DATA | copied);
        put64(image, QCOW2_REFCOUNT_TABLE, QCOW2_REFCOUNT_BLOCK);
        for (size_t i = 0; i < QCOW2_END / QCOW2_CLUSTER; i++)
                image[QCOW2_REFCOUNT_BLOCK + 2 * i + 1] = 1;
}

/* Sectors are numbered by their place in the file. */
static int encrypt_cluster(SectorCipher *c, uint8_t *image, size_t at)
{
        return sector_cipher_encrypt(c, at / 512, image + at, QCOW2_CLUSTER);
}

int qcow2_luks_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, QCOW2_END);
        _cleanup_sector_cipher_ SectorCipher *c = NULL;

        int r = image ? fake_luks_header(image + QCOW2_CRYPTO) : -ENOMEM;
        if (r >= 0)
                r = fake_luks_cipher(&c);
        if (r < 0)
                return r;
        put_header(image);
        put_extensions(image, name, below);
        memset(image + QCOW2_DATA, 'A', QCOW2_CLUSTER);
        memset(image + QCOW2_OTHER_DATA, 'D', QCOW2_CLUSTER);
        r = encrypt_cluster(c, image, QCOW2_DATA);
        if (r >= 0)
                r = encrypt_cluster(c, image, QCOW2_OTHER_DATA);
        return r < 0 ? r : mem_store_new(image, QCOW2_END, ret);
}
