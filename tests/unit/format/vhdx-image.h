/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small VHDX in memory, for tests: headers, log at 1 MiB, metadata at 2 MiB, BAT at 3 MiB, and behind that what the test
 * wants.
 */
#pragma once

#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

enum {
        VHDX_IMAGE_MIB = 1 << 20,
        VHDX_IMAGE_LOG = 1 << 20,
        VHDX_IMAGE_METADATA = 2 << 20,
        VHDX_IMAGE_BAT = 3 << 20,
        VHDX_IMAGE_BLOCKS = 4 << 20,
};

typedef struct VhdxImage {
        uint64_t size;   /* of the disk */
        uint32_t block;  /* 0: 1 MiB */
        uint32_t sector; /* 0: 512 */
        uint32_t flags;  /* of the file parameters */
        size_t file_len; /* at least VHDX_IMAGE_BLOCKS */
        const uint64_t *bat;
        size_t bat_count;
} VhdxImage;

/* The bytes of the file; free() them. NULL: no memory. */
uint8_t *vhdx_image_new(const VhdxImage *image);

/* Gives a header, a page of the file, its checksum again after a change. */
void vhdx_image_seal_header(uint8_t *header);
void vhdx_image_seal_region_table(uint8_t *table);
