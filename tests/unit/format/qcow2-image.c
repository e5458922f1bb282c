/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/format/qcow2-image.h"

#include "base/cleanup.h"
#include "block/limits.h"
#include "format/formats.h"
#include "store/mem.h"

#include <assert.h>
#include <string.h>

extern const Format format_qcow2;

void image_put(Image *i, uint64_t pos, unsigned width, uint64_t value)
{
        assert(pos + width <= IMAGE_LEN);
        for (unsigned k = 0; k < width; k++)
                i->bytes[pos + k] = (uint8_t)(value >> (8 * (width - 1 - k)));
}

void image_put_bytes(Image *i, uint64_t pos, const void *bytes, size_t len)
{
        assert(pos + len <= IMAGE_LEN);
        memcpy(i->bytes + pos, bytes, len);
}

void image_begin(Image *i, unsigned cluster_bits, uint64_t size, bool extended)
{
        uint64_t cluster = UINT64_C(1) << cluster_bits;
        unsigned entry_len = extended ? 16 : 8;
        uint64_t range = cluster / entry_len * cluster;

        memset(i, 0, sizeof(*i));
        i->len = IMAGE_LEN;
        i->cluster = cluster;
        i->cluster_bits = cluster_bits;
        i->entry_len = entry_len;
        i->extension = IMAGE_EXTENSIONS;
        image_put(i, 0, 4, 0x514649fb);
        image_put(i, IMAGE_VERSION, 4, 3);
        image_put(i, IMAGE_CLUSTER_BITS, 4, cluster_bits);
        image_put(i, IMAGE_SIZE, 8, size);
        image_put(i, IMAGE_L1_SIZE, 4, (size + range - 1) / range);
        image_put(i, IMAGE_L1_OFFSET, 8, 2 * cluster);
        image_put(i, IMAGE_REFCOUNT_TABLE_OFFSET, 8, cluster);
        image_put(i, IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, 1);
        image_put(i, IMAGE_INCOMPATIBLE, 8, extended ? 1 << 4 : 0);
        image_put(i, IMAGE_REFCOUNT_ORDER, 4, 4);
        image_put(i, IMAGE_HEADER_LENGTH, 4, 112);
        image_put(i, 2 * cluster, 8, IMAGE_COPIED | 3 * cluster);
}

void image_map(Image *i, uint64_t cluster, uint64_t entry)
{
        image_put(i, 3 * i->cluster + cluster * i->entry_len, 8, entry);
}

void image_map_extended(Image *i, uint64_t cluster, uint64_t entry, uint64_t bitmap)
{
        image_map(i, cluster, entry);
        image_put(i, 3 * i->cluster + cluster * i->entry_len + 8, 8, bitmap);
}

void image_extension(Image *i, uint32_t type, const void *bytes, uint32_t len)
{
        size_t real = bytes ? len : 0;

        image_put(i, i->extension, 4, type);
        image_put(i, i->extension + 4, 4, len);
        if (real > 0)
                image_put_bytes(i, i->extension + 8, bytes, real);
        i->extension += 8 + (real + 7) / 8 * 8;
}

void image_open(const Image *i, const char *snapshot, Opener *opener, Opened *ret)
{
        _cleanup_store_ Store *s = NULL;

        *ret = (Opened){ 0 };
        ret->r = mem_store_new(i->bytes, i->len, &s);
        if (ret->r < 0)
                return;
        ret->r = cache_new(LIMIT_CACHE_MIN, &ret->cache);
        if (ret->r < 0)
                return;
        NodeOptions options = { .snapshot = snapshot, .cache = ret->cache };
        ret->r = node_open(&format_qcow2, s, &options, opener, &ret->node, &ret->err);
        if (ret->r == 0)
                TAKE(s);
}

void image_close(Opened *o)
{
        o->node = node_close(o->node);
        o->cache = cache_free(o->cache);
}
