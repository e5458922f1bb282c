/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>

enum {
        BOCHS_CATALOG = 512,
        BOCHS_EXTENTS = BOCHS_CATALOG + 4 * SAMPLE_GRANULES,
        BOCHS_PLACE = 512 + SAMPLE_GRANULE,
        BOCHS_END = BOCHS_EXTENTS + 2 * BOCHS_PLACE,
};

static void put32(uint8_t *at, uint32_t value)
{
        for (unsigned i = 0; i < 4; i++)
                at[i] = (uint8_t)(value >> 8 * i);
}

static void put_extent(uint8_t *image, uint32_t index, uint32_t place, int byte)
{
        uint8_t *at = image + BOCHS_EXTENTS + place * BOCHS_PLACE;

        put32(image + BOCHS_CATALOG + 4 * index, place);
        at[0] = 0xff;
        memset(at + 512, byte, SAMPLE_GRANULE);
}

/* Extents of one granule each: A, none, none, D. */
int bochs_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, BOCHS_END);
        if (!image)
                return -ENOMEM;
        memcpy(image, "Bochs Virtual HD Image", 22);
        memcpy(image + 32, "Redolog", 7);
        memcpy(image + 48, "Growing", 7);
        put32(image + 64, 0x20000);
        put32(image + 68, BOCHS_CATALOG);
        put32(image + 72, SAMPLE_GRANULES);
        put32(image + 76, 1);
        put32(image + 80, SAMPLE_GRANULE);
        put32(image + 88, SAMPLE_SIZE);
        memset(image + BOCHS_CATALOG, 0xff, 4 * SAMPLE_GRANULES);
        put_extent(image, 3, 0, 'D');
        put_extent(image, 0, 1, 'A');
        return mem_store_new(image, BOCHS_END, ret);
}
