/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/vmdk-image.h"

#include "store/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vmdk;

void vmdk_image_put(VmdkImage *i, uint64_t pos, unsigned width, uint64_t value)
{
        for (unsigned k = 0; k < width; k++)
                i->bytes[pos + k] = (uint8_t)(value >> 8 * k);
}

void vmdk_image_map(VmdkImage *i, unsigned grain, uint32_t entry)
{
        unsigned at = grain / 16 * 512 + grain % 16 * 4;

        vmdk_image_put(i, VMDK_IMAGE_RGT + at, 4, entry);
        vmdk_image_put(i, VMDK_IMAGE_GT + at, 4, entry);
}

void vmdk_image_begin(VmdkImage *i, unsigned grains)
{
        *i = (VmdkImage){ .len = VMDK_IMAGE_LEN };
        memcpy(i->bytes, "KDMV", 4);
        vmdk_image_put(i, 4, 4, 2);
        vmdk_image_put(i, VMDK_IMAGE_FLAGS, 4, 7);
        vmdk_image_put(i, 12, 8, grains * 8);
        vmdk_image_put(i, 20, 8, 8);
        vmdk_image_put(i, 28, 8, VMDK_IMAGE_DESCRIPTOR / 512);
        vmdk_image_put(i, 36, 8, 3);
        vmdk_image_put(i, 44, 4, 16);
        vmdk_image_put(i, 48, 8, VMDK_IMAGE_RGD / 512);
        vmdk_image_put(i, 56, 8, VMDK_IMAGE_GD / 512);
        vmdk_image_put(i, 64, 8, VMDK_IMAGE_GRAINS / 512);
        memcpy(i->bytes + 73, "\n \r\n", 4);
        snprintf((char *)i->bytes + VMDK_IMAGE_DESCRIPTOR, 3 * 512,
                 "version=1\nCID=1234abcd\ncreateType=\"monolithicSparse\"\nRW %u SPARSE \"x\"\n"
                 "ddb.longContentID=\"0123456789abcdef012345671234abcd\"\n",
                 grains * 8);
        for (unsigned t = 0; t < (grains + 15) / 16; t++) {
                vmdk_image_put(i, VMDK_IMAGE_RGD + 4 * t, 4, VMDK_IMAGE_RGT / 512 + t);
                vmdk_image_put(i, VMDK_IMAGE_GD + 4 * t, 4, VMDK_IMAGE_GT / 512 + t);
        }
}

static void store_try(VmdkOpenMode mode, Opener *opener, VmdkOpened *o)
{
        NodeOptions options = {
                .writable = mode == VMDK_WRITABLE || mode == VMDK_FOR_REPAIR,
                .for_check = mode == VMDK_FOR_CHECK || mode == VMDK_FOR_REPAIR,
        };

        assert_int_equal(cache_new(0, &o->cache), 0);
        options.cache = o->cache;
        o->err.text[0] = '\0';
        o->r = node_open(&format_vmdk, o->store, &options, opener, &o->node, &o->err);
        if (o->r < 0)
                store_free(o->store);
}

void vmdk_store_open(VmdkOpenMode mode, Opener *opener, VmdkOpened *o)
{
        store_try(mode, opener, o);
        if (o->r < 0)
                fail_msg("%s", o->err.text);
}

void vmdk_image_try(const VmdkImage *i, VmdkOpenMode mode, VmdkOpened *ret)
{
        *ret = (VmdkOpened){ 0 };
        assert_int_equal(mem_store_new(i->bytes, i->len, &ret->store), 0);
        store_try(mode, NULL, ret);
}

void vmdk_image_open(const VmdkImage *i, VmdkOpenMode mode, VmdkOpened *ret)
{
        vmdk_image_try(i, mode, ret);
        if (ret->r < 0)
                fail_msg("%s", ret->err.text);
}

void vmdk_opened_done(VmdkOpened *o)
{
        node_close(o->node);
        cache_free(o->cache);
}
