/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

/* Grains of 8 sectors, tables of 16 entries. In sectors: header, descriptor (3), redundant directory and its table,
 * directory and its table; then two grains. */
enum {
        VMDK_SECTOR = 512,
        VMDK_DESCRIPTOR = 1,
        VMDK_DESCRIPTOR_SECTORS = 3,
        VMDK_RGD = 4,
        VMDK_RGT = 5,
        VMDK_GD = 6,
        VMDK_GT = 7,
        VMDK_GRAINS = 8,
        VMDK_GRAIN = 8,
        VMDK_END = 24,
        VMDK_FLAGS = 7,
        VMDK_CODED_FLAGS = 0x30005,
};

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        le32 raw = to_le32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put64(uint8_t *image, size_t at, uint64_t value)
{
        le64 raw = to_le64(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put_entry(uint8_t *image, size_t index, uint32_t value)
{
        put32(image, VMDK_GT * VMDK_SECTOR + 4 * index, value);
        put32(image, VMDK_RGT * VMDK_SECTOR + 4 * index, value);
}

static void vmdk_sample_header(uint8_t *image, const char *type, uint32_t flags)
{
        memcpy(image, "KDMV", 4);
        put32(image, 4, 2);
        put32(image, 8, flags);
        put64(image, 12, SAMPLE_SIZE / VMDK_SECTOR);
        put64(image, 20, VMDK_GRAIN);
        put64(image, 28, VMDK_DESCRIPTOR);
        put64(image, 36, VMDK_DESCRIPTOR_SECTORS);
        put32(image, 44, SAMPLE_GRANULES);
        put64(image, 48, VMDK_RGD);
        put64(image, 56, VMDK_GD);
        put64(image, 64, VMDK_GRAINS);
        memcpy(image + 73, "\n \r\n", 4);
        snprintf((char *)image + VMDK_DESCRIPTOR * VMDK_SECTOR,
                 VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR,
                 "# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff\n"
                 "createType=\"%s\"\nRW %d SPARSE \"disk\"\n"
                 "ddb.longContentID = \"0123456789abcdef012345671234abcd\"\n",
                 type, SAMPLE_SIZE / VMDK_SECTOR);
        put32(image, VMDK_RGD * VMDK_SECTOR, VMDK_RGT);
        put32(image, VMDK_GD * VMDK_SECTOR, VMDK_GT);
        put_entry(image, 1, 1);
        put_entry(image, 0, VMDK_GRAINS);
        put_entry(image, 3, VMDK_GRAINS + VMDK_GRAIN);
}

int vmdk_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(VMDK_END, VMDK_SECTOR);
        if (!image)
                return -ENOMEM;
        vmdk_sample_header(image, "monolithicSparse", VMDK_FLAGS);
        memset(image + VMDK_GRAINS * VMDK_SECTOR, 'A', SAMPLE_GRANULE);
        memset(image + (VMDK_GRAINS + VMDK_GRAIN) * VMDK_SECTOR, 'D', SAMPLE_GRANULE);
        return mem_store_new(image, VMDK_END * VMDK_SECTOR, ret);
}

static int vmdk_sample_pack(uint8_t *image, size_t sector, uint64_t grain, int byte)
{
        uint8_t plain[SAMPLE_GRANULE];
        uint8_t *at = image + sector * VMDK_SECTOR;
        uLongf len = VMDK_GRAIN * VMDK_SECTOR - 12;

        memset(plain, byte, sizeof(plain));
        if (compress(at + 12, &len, plain, sizeof(plain)) != Z_OK)
                return -EIO;
        put64(at, 0, grain * VMDK_GRAIN);
        put32(at, 8, (uint32_t)len);
        return 0;
}

int vmdk_sample_make_stream(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(VMDK_END, VMDK_SECTOR);
        if (!image)
                return -ENOMEM;
        vmdk_sample_header(image, "streamOptimized", VMDK_CODED_FLAGS);
        image[77] = 1;
        int r = vmdk_sample_pack(image, VMDK_GRAINS, 0, 'A');
        if (r >= 0)
                r = vmdk_sample_pack(image, VMDK_GRAINS + VMDK_GRAIN, 3, 'D');
        return r < 0 ? r : mem_store_new(image, VMDK_END * VMDK_SECTOR, ret);
}
