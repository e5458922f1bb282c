/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small dmg in memory for unit tests, with its tables in a resource fork and all checksums right: two sectors as they are,
 * four of zeroes, two packed with zlib; the next block has one sector as it is. One thread.
 */
#pragma once

#include "block/cache.h"
#include "block/node.h"

#include <stddef.h>
#include <stdint.h>

enum {
        DMG_IMAGE_RAW_AT = 0,
        DMG_IMAGE_PACKED_AT = 1024,
        DMG_IMAGE_SECTORS = 9,
        DMG_IMAGE_MAX = 8192,
};

typedef struct DmgImage {
        uint8_t bytes[DMG_IMAGE_MAX];
        size_t len;
        size_t resources_at, block_at, other_block_at, trailer_at;
        uint8_t guest[DMG_IMAGE_SECTORS * 512];
} DmgImage;

void dmg_image_make(DmgImage *i);

/* As big-endian bytes. */
void dmg_image_put(DmgImage *i, size_t at, size_t size, uint64_t value);

/* NULL and a text in `err` when it does not open. */
Node *dmg_image_open(const DmgImage *i, Cache *c, bool for_check, Err *err);
