/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>

/* Bands of a granule: the fourth in the first slot, the first in the next. */
enum {
        NODE = 4096,
        SLOTS = 64,
        END = NODE + 2 * SAMPLE_GRANULE,
};

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        be32 raw = to_be32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

int sparseimage_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, END);

        if (!image)
                return -ENOMEM;
        memcpy(image, "sprs", 4);
        put32(image, 4, 3);
        put32(image, 8, SAMPLE_GRANULE / 512);
        put32(image, 12, 1);
        put32(image, 16, SAMPLE_SIZE / 512);
        put32(image, 32, SAMPLE_SIZE / 512);
        put32(image, SLOTS, 4);
        put32(image, SLOTS + 4, 1);
        memset(image + NODE, 'D', SAMPLE_GRANULE);
        memset(image + NODE + SAMPLE_GRANULE, 'A', SAMPLE_GRANULE);
        return mem_store_new(image, END, ret);
}
