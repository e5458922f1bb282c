/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VHD image in memory, made field by field for tests of the driver. Belongs to one test.
 *
 * vhd_image_begin lays out: footer at 0, header at 512, BAT at 1536 (one sector, 128 entries), nothing behind it;
 * vhd_image_block appends blocks, vhd_image_finish the footer. A fixed disk is only as many zeroes as it has bytes.
 */
#pragma once

#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

enum {
        VHD_IMAGE_LEN = 256 << 10,

        /* Fields of a footer, which is at 0 and at the end. */
        VHD_IMAGE_FEATURES = 8,
        VHD_IMAGE_VERSION = 12,
        VHD_IMAGE_DATA_OFFSET = 16,
        VHD_IMAGE_CREATOR = 28,
        VHD_IMAGE_CURRENT_SIZE = 48,
        VHD_IMAGE_GEOMETRY = 56,
        VHD_IMAGE_TYPE = 60,
        VHD_IMAGE_SUM = 64,
        VHD_IMAGE_ID = 68,
        VHD_IMAGE_SAVED_STATE = 84,

        VHD_IMAGE_HEADER = 512,
        VHD_IMAGE_TABLE_OFFSET = VHD_IMAGE_HEADER + 16,
        VHD_IMAGE_ENTRIES = VHD_IMAGE_HEADER + 28,
        VHD_IMAGE_BLOCK_SIZE = VHD_IMAGE_HEADER + 32,
        VHD_IMAGE_HEADER_SUM = VHD_IMAGE_HEADER + 36,
        VHD_IMAGE_PARENT_ID = VHD_IMAGE_HEADER + 40,
        VHD_IMAGE_PARENT_NAME = VHD_IMAGE_HEADER + 64,
        VHD_IMAGE_LOCATORS = VHD_IMAGE_HEADER + 576,

        VHD_IMAGE_BAT = 1536,
        VHD_IMAGE_BLOCKS = 2048,
};

typedef struct VhdImage {
        uint8_t bytes[VHD_IMAGE_LEN];
        size_t len; /* of the file; set it to cut the image off */
        uint32_t type, block_size;
} VhdImage;

/* `type` as in the footer: 2, 3, 4. The id is "0123456789abcdef", and so is that of the parent. */
void vhd_image_begin(VhdImage *i, uint32_t type, uint32_t block_size, uint64_t size);

/* `width` bytes, big-endian. */
void vhd_image_put(VhdImage *i, uint64_t pos, unsigned width, uint64_t value);

/* Appends block `index`, all of whose bytes are `fill`; each byte of its bitmap is `bits`. Where it is. */
uint64_t vhd_image_block(VhdImage *i, uint64_t index, uint8_t fill, uint8_t bits);

/* A locator in that slot, with its bytes in the room behind the BAT's first 64 bytes that belongs to the slot. */
void vhd_image_locator(VhdImage *i, unsigned slot, const char *code, const void *bytes, size_t len);

/* Makes all checksums right and appends the footer. */
void vhd_image_finish(VhdImage *i);

/* Makes the checksum of `len` bytes at `pos` right, which stands `at` bytes behind it. */
void vhd_image_sum(VhdImage *i, uint64_t pos, size_t len, size_t at);

/* A store with a copy. */
Store *vhd_image_store(const VhdImage *i);
