/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/vhd-image.h"

#include "store/mem.h"

#include <assert.h>
#include <string.h>

void vhd_image_put(VhdImage *i, uint64_t pos, unsigned width, uint64_t value)
{
        for (unsigned k = 0; k < width; k++)
                i->bytes[pos + k] = (uint8_t)(value >> 8 * (width - 1 - k));
}

void vhd_image_begin(VhdImage *i, uint32_t type, uint32_t block_size, uint64_t size)
{
        memset(i, 0, sizeof(*i));
        i->type = type;
        i->block_size = block_size;
        memcpy(i->bytes, "conectix", 8);
        vhd_image_put(i, VHD_IMAGE_FEATURES, 4, 2);
        vhd_image_put(i, VHD_IMAGE_VERSION, 4, 0x10000);
        vhd_image_put(i, VHD_IMAGE_DATA_OFFSET, 8, type == 2 ? UINT64_MAX : VHD_IMAGE_HEADER);
        memcpy(i->bytes + VHD_IMAGE_CREATOR, "win ", 4);
        vhd_image_put(i, VHD_IMAGE_CURRENT_SIZE, 8, size);
        vhd_image_put(i, VHD_IMAGE_TYPE, 4, type);
        memcpy(i->bytes + VHD_IMAGE_ID, "0123456789abcdef", 16);

        memcpy(i->bytes + VHD_IMAGE_HEADER, "cxsparse", 8);
        vhd_image_put(i, VHD_IMAGE_HEADER + 8, 8, UINT64_MAX);
        vhd_image_put(i, VHD_IMAGE_TABLE_OFFSET, 8, VHD_IMAGE_BAT);
        vhd_image_put(i, VHD_IMAGE_HEADER + 24, 4, 0x10000);
        vhd_image_put(i, VHD_IMAGE_ENTRIES, 4, (size + block_size - 1) / block_size);
        vhd_image_put(i, VHD_IMAGE_BLOCK_SIZE, 4, block_size);
        memcpy(i->bytes + VHD_IMAGE_PARENT_ID, "0123456789abcdef", 16);
        memset(i->bytes + VHD_IMAGE_BAT, 0xff, 512);
        i->len = type == 2 ? (size_t)size : VHD_IMAGE_BLOCKS;
}

uint64_t vhd_image_block(VhdImage *i, uint64_t index, uint8_t fill, uint8_t bits)
{
        uint64_t pos = i->len;

        assert(pos + 512 + i->block_size + 512 <= VHD_IMAGE_LEN);
        vhd_image_put(i, VHD_IMAGE_BAT + 4 * index, 4, pos / 512);
        memset(i->bytes + pos, bits, (i->block_size / 512 + 7) / 8);
        memset(i->bytes + pos + 512, fill, i->block_size);
        i->len += 512 + i->block_size;
        return pos;
}

void vhd_image_locator(VhdImage *i, unsigned slot, const char *code, const void *bytes, size_t len)
{
        uint64_t at = VHD_IMAGE_LOCATORS + 24 * slot, pos = VHD_IMAGE_BAT + 64 + 64 * slot;

        assert(slot < 7 && len <= 64);
        memcpy(i->bytes + at, code, 4);
        vhd_image_put(i, at + 4, 4, 512);
        vhd_image_put(i, at + 8, 4, len);
        vhd_image_put(i, at + 16, 8, pos);
        memcpy(i->bytes + pos, bytes, len);
}

void vhd_image_sum(VhdImage *i, uint64_t pos, size_t len, size_t at)
{
        uint32_t sum = 0;

        vhd_image_put(i, pos + at, 4, 0);
        for (size_t k = 0; k < len; k++)
                sum += i->bytes[pos + k];
        vhd_image_put(i, pos + at, 4, ~sum);
}

void vhd_image_finish(VhdImage *i)
{
        vhd_image_sum(i, 0, 512, VHD_IMAGE_SUM);
        if (i->type != 2)
                vhd_image_sum(i, VHD_IMAGE_HEADER, 1024, VHD_IMAGE_HEADER_SUM - VHD_IMAGE_HEADER);
        memcpy(i->bytes + i->len, i->bytes, 512);
        if (i->type == 2)
                memset(i->bytes, 0, i->len);
        i->len += 512;
}

Store *vhd_image_store(const VhdImage *i)
{
        Store *s = NULL;

        return mem_store_new(i->bytes, i->len, &s) < 0 ? NULL : s;
}
