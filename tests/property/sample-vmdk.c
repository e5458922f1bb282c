/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "fake/audit.h"
#include "store/mem.h"

#include <errno.h>
#include <stdio.h>
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
        VMDK_FEW_ENTRIES = 4,
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

/* The same with tables of 4 entries, of which only the first is there: it lies where the one table did. */
int vmdk_sample_make_tables(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(VMDK_END, VMDK_SECTOR);
        if (!image)
                return -ENOMEM;
        vmdk_sample_header(image, "monolithicSparse", VMDK_FLAGS);
        put32(image, 44, VMDK_FEW_ENTRIES);
        memset(image + VMDK_GRAINS * VMDK_SECTOR, 'A', SAMPLE_GRANULE);
        memset(image + (VMDK_GRAINS + VMDK_GRAIN) * VMDK_SECTOR, 'D', SAMPLE_GRANULE);
        return mem_store_new(image, VMDK_END * VMDK_SECTOR, ret);
}

static uint32_t get32(Store *s, uint64_t at)
{
        le32 raw = { { 0 } };

        return store_read_padded(s, &raw, sizeof(raw), at) < 0 ? 0 : from_le32(raw);
}

/* Takes sectors; counts what was taken before, or is not in the file. */
static void audit_take(Audit *a, uint8_t *used, uint64_t sectors, uint64_t at, uint64_t count)
{
        for (uint64_t i = at; i < at + count; i++) {
                if (i < sectors && !used[i]++)
                        continue;
                a->corruptions++;
                snprintf(a->text, sizeof(a->text), "sector %u is taken twice or past the end",
                         (unsigned)i);
                return;
        }
}

int vmdk_sample_audit(Store *s, Audit *ret)
{
        uint32_t count = get32(s, 44);
        uint64_t size = 0;

        *ret = (Audit){ 0 };
        int r = store_get_size(s, &size);
        if (r < 0 || count == 0)
                return r < 0 ? r : -EIO;
        uint64_t sectors = size / VMDK_SECTOR;
        _cleanup_free_ uint8_t *used = calloc(sectors + 1, 1);
        if (!used)
                return -ENOMEM;
        audit_take(ret, used, sectors, 0, VMDK_DESCRIPTOR + VMDK_DESCRIPTOR_SECTORS);
        audit_take(ret, used, sectors, VMDK_RGD, 1);
        audit_take(ret, used, sectors, VMDK_GD, 1);
        for (uint32_t i = 0; i < SAMPLE_GRANULES; i++) {
                uint64_t at = i / count * 4;
                uint64_t table = get32(s, VMDK_GD * VMDK_SECTOR + at);
                uint64_t copy = get32(s, VMDK_RGD * VMDK_SECTOR + at);
                if (i % count == 0 && table != 0)
                        audit_take(ret, used, sectors, table, 1);
                if (i % count == 0 && copy != 0)
                        audit_take(ret, used, sectors, copy, 1);
                uint64_t grain = get32(s, table * VMDK_SECTOR + i % count * 4);
                if (table != 0 && grain > 1)
                        audit_take(ret, used, sectors, grain, VMDK_GRAIN);
        }
        /* A table in between pushes what follows it to the next whole grain: less than one is lost. */
        for (uint64_t i = VMDK_GRAINS, row = 0; i < sectors; i++) {
                row = used[i] ? 0 : row + 1;
                ret->leaks += row == VMDK_GRAIN;
        }
        return 0;
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
