/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vhdx-image.h"

#include "base/crc32c.h"
#include "base/disk-int.h"
#include "base/uuid.h"

#include <stdlib.h>
#include <string.h>

enum {
        K = 1024,
        HEADER_LEN = 4 * K,
        TABLE_LEN = 64 * K,
};

static void put16(uint8_t *at, uint16_t value)
{
        le16 raw = to_le16(value);
        memcpy(at, &raw, sizeof(raw));
}

static void put32(uint8_t *at, uint32_t value)
{
        le32 raw = to_le32(value);
        memcpy(at, &raw, sizeof(raw));
}

static void put64(uint8_t *at, uint64_t value)
{
        le64 raw = to_le64(value);
        memcpy(at, &raw, sizeof(raw));
}

static void put_guid(uint8_t *at, const char *text)
{
        Uuid u = { { 0 } };

        if (!uuid_parse(text, &u))
                abort();
        le_guid g = uuid_to_guid(u);
        memcpy(at, &g, sizeof(g));
}

void vhdx_image_seal_header(uint8_t *header)
{
        put32(header + 4, 0);
        put32(header + 4, crc32c(0, header, HEADER_LEN));
}

void vhdx_image_seal_region_table(uint8_t *table)
{
        put32(table + 4, 0);
        put32(table + 4, crc32c(0, table, TABLE_LEN));
}

static void put_header(uint8_t *at, uint64_t sequence)
{
        memcpy(at, "head", 4);
        put64(at + 8, sequence);
        put_guid(at + 16, "11111111-0000-0000-0000-000000000000");
        put_guid(at + 32, "22222222-0000-0000-0000-000000000000");
        put16(at + 66, 1);
        put32(at + 68, VHDX_IMAGE_MIB);
        put64(at + 72, VHDX_IMAGE_LOG);
        vhdx_image_seal_header(at);
}

static void put_region(uint8_t *at, const char *guid, uint64_t pos)
{
        put_guid(at, guid);
        put64(at + 16, pos);
        put32(at + 24, VHDX_IMAGE_MIB);
        put32(at + 28, 1);
}

static void put_region_table(uint8_t *at)
{
        memcpy(at, "regi", 4);
        put32(at + 8, 2);
        put_region(at + 16, "2dc27766-f623-4200-9d64-115e9bfd4a08", VHDX_IMAGE_BAT);
        put_region(at + 48, "8b7ca206-4790-4b9a-b8fe-575f050f886e", VHDX_IMAGE_METADATA);
        vhdx_image_seal_region_table(at);
}

/* The item at `offset`, of `len` bytes, of which the first eight are `value`. */
static void put_item(uint8_t *table, size_t i, const char *guid, uint32_t len, uint64_t value)
{
        uint8_t *entry = table + 32 + 32 * i;
        uint32_t offset = (uint32_t)(TABLE_LEN + 32 * i);

        put_guid(entry, guid);
        put32(entry + 16, offset);
        put32(entry + 20, len);
        put32(entry + 24, 4);
        put64(table + offset, value);
}

static void put_metadata(uint8_t *at, const VhdxImage *image)
{
        uint32_t block = image->block ? image->block : VHDX_IMAGE_MIB;

        memcpy(at, "metadata", 8);
        put16(at + 10, 5);
        put_item(at, 0, "caa16737-fa36-4d43-b3b6-33f0aa44e76b", 8,
                 (uint64_t)image->flags << 32 | block);
        put_item(at, 1, "2fa54224-cd1b-4876-b211-5dbed83bf4b8", 8, image->size);
        put_item(at, 2, "beca12ab-b2e6-4523-93ef-c309e000c746", 16, 1);
        put_item(at, 3, "8141bf1d-a96f-4709-ba47-f233a8faab5f", 4,
                 image->sector ? image->sector : 512);
        put_item(at, 4, "cda348c7-445d-4471-9cc9-e9885251c556", 4, 512);
}

uint8_t *vhdx_image_new(const VhdxImage *image)
{
        uint8_t *bytes = calloc(1, image->file_len);

        if (!bytes)
                return NULL;
        memcpy(bytes, "vhdxfile", 8);
        put_header(bytes + TABLE_LEN, 1);
        put_header(bytes + 2 * (size_t)TABLE_LEN, 2);
        put_region_table(bytes + 3 * (size_t)TABLE_LEN);
        put_region_table(bytes + 4 * (size_t)TABLE_LEN);
        put_metadata(bytes + VHDX_IMAGE_METADATA, image);
        for (size_t i = 0; i < image->bat_count; i++)
                put64(bytes + VHDX_IMAGE_BAT + 8 * i, image->bat[i]);
        return bytes;
}
