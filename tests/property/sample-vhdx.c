/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disk of the samples is one block of a VHDX, or a part of it. */
#include "sample-vhdx.h"

#include "../unit/format/vhdx-image.h"
#include "base/cleanup.h"
#include "sample.h"
#include "store/mem.h"

#include <errno.h>

int vhdx_sample_make(const char *name, const char *below, Store **ret)
{
        static const uint64_t bat = VHDX_IMAGE_BLOCKS | 6;
        VhdxImage image = {
                .size = SAMPLE_SIZE,
                .file_len = VHDX_IMAGE_BLOCKS + VHDX_IMAGE_MIB,
                .bat = &bat,
                .bat_count = 1,
        };
        _cleanup_free_ uint8_t *bytes = vhdx_image_new(&image);

        if (!bytes)
                return -ENOMEM;
        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                bytes[VHDX_IMAGE_BLOCKS + off] = sample_byte(off, 0);
        return mem_store_new(bytes, image.file_len, ret);
}
