/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "fake/audit.h"
#include "tests/unit/format/vhd-image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Blocks of one granule each: A, none, none, D. */
static void vhd_sample_fill(VhdImage *i)
{
        vhd_image_begin(i, 3, SAMPLE_GRANULE, SAMPLE_SIZE);
        vhd_image_block(i, 3, 'D', 0xff);
        vhd_image_block(i, 0, 'A', 0xff);
        vhd_image_finish(i);
}

/* One block of all that is there, as a writer leaves it that fills bitmaps as it goes; what is not there is 'X'. */
static void vhd_partial_fill(VhdImage *i)
{
        vhd_image_begin(i, 3, 4 * SAMPLE_GRANULE, SAMPLE_SIZE);
        uint64_t pos = vhd_image_block(i, 0, 'X', 0);
        memset(i->bytes + pos + 512, 'A', SAMPLE_GRANULE);
        memset(i->bytes + pos + 512 + 3 * SAMPLE_GRANULE, 'D', SAMPLE_GRANULE);
        i->bytes[pos] = i->bytes[pos + 3] = 0xff;
        vhd_image_finish(i);
}

static void vhd_fixed_fill(VhdImage *i)
{
        vhd_image_begin(i, 2, SAMPLE_GRANULE, SAMPLE_SIZE);
        vhd_image_finish(i);
        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                i->bytes[off] = sample_byte(off, 0);
}

static int vhd_make(void (*fill)(VhdImage *), Store **ret)
{
        _cleanup_free_ VhdImage *image = malloc(sizeof(*image));
        if (!image)
                return -ENOMEM;
        fill(image);
        *ret = vhd_image_store(image);
        return *ret ? 0 : -ENOMEM;
}

int vhd_sample_make(const char *name, const char *below, Store **ret)
{
        return vhd_make(vhd_sample_fill, ret);
}

int vhd_partial_make(const char *name, const char *below, Store **ret)
{
        return vhd_make(vhd_partial_fill, ret);
}

int vhd_fixed_make(const char *name, const char *below, Store **ret)
{
        return vhd_make(vhd_fixed_fill, ret);
}

static void audit_note(Audit *a, uint64_t *number, const char *what, uint64_t pos)
{
        if (a->corruptions + a->leaks == 0)
                snprintf(a->text, sizeof(a->text), "%s at %" PRIu64, what, pos);
        ++*number;
}

static uint64_t at32(const uint8_t *bytes, uint64_t pos)
{
        return (uint64_t)bytes[pos] << 24 | bytes[pos + 1] << 16 | bytes[pos + 2] << 8 |
               bytes[pos + 3];
}

/* Every block has a place of its own, and all places in a row are the file, between the BAT and the footer. */
int vhd_sample_audit(Store *s, Audit *ret)
{
        _cleanup_free_ uint8_t *bytes = NULL;
        uint64_t size = 0, count = 0;
        Audit a = { .text = "nothing" };

        int r = store_get_size(s, &size);
        if (r < 0)
                return r;
        bytes = malloc((size_t)size);
        if (!bytes)
                return -ENOMEM;
        r = store_read(s, bytes, (size_t)size, 0);
        if (r < 0)
                return r;
        if (memcmp(bytes, bytes + size - 512, 512) != 0)
                audit_note(&a, &a.leaks, "no footer", size - 512);
        uint64_t place = 512 + at32(bytes, VHD_IMAGE_BLOCK_SIZE);
        for (uint64_t i = 0; i < at32(bytes, VHD_IMAGE_ENTRIES); i++) {
                uint64_t pos = 512 * at32(bytes, VHD_IMAGE_BAT + 4 * i);
                if (pos == 512 * (uint64_t)UINT32_MAX)
                        continue;
                count++;
                if (pos < VHD_IMAGE_BLOCKS || pos + place > size)
                        audit_note(&a, &a.corruptions, "outside", pos);
                for (uint64_t k = 0; k < i; k++) {
                        uint64_t other = 512 * at32(bytes, VHD_IMAGE_BAT + 4 * k);
                        if (pos < other + place && other < pos + place)
                                audit_note(&a, &a.corruptions, "over another", pos);
                }
        }
        if (VHD_IMAGE_BLOCKS + count * place + 512 != size)
                audit_note(&a, &a.leaks, "more than blocks", count);
        *ret = a;
        return 0;
}
