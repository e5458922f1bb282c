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

static uint64_t image_get(const Image *i, uint64_t pos, unsigned width)
{
        uint64_t value = 0;
        for (unsigned k = 0; k < width; k++)
                value = value << 8 | i->bytes[pos + k];
        return value;
}

void image_set_refcount(Image *i, uint64_t cluster, uint64_t refcount)
{
        uint64_t block = image_get(i, i->cluster, 8);
        unsigned bits = 1U << image_get(i, IMAGE_REFCOUNT_ORDER, 4);
        uint64_t bit = cluster * bits, pos = block + bit / 8;

        if (bits >= 8) {
                image_put(i, pos, bits / 8, refcount);
                return;
        }
        /* The lowest bits of a byte come first. */
        uint64_t mask = (1U << bits) - 1;
        uint64_t rest = i->bytes[pos] & ~(mask << bit % 8);
        image_put(i, pos, 1, rest | refcount << bit % 8);
}

void image_count(Image *i, uint64_t cluster, unsigned refcount_order)
{
        image_put(i, IMAGE_REFCOUNT_ORDER, 4, refcount_order);
        image_put(i, i->cluster, 8, cluster * i->cluster);
        for (uint64_t k = 0; k <= cluster; k++)
                image_set_refcount(i, k, 1);
        i->len = (cluster + 1) * i->cluster;
}

void image_snapshot(Image *i, uint64_t pos, uint64_t l1_pos)
{
        image_put(i, IMAGE_NB_SNAPSHOTS, 4, 1);
        image_put(i, IMAGE_SNAPSHOTS_OFFSET, 8, pos);
        image_put(i, pos, 8, l1_pos);
        image_put(i, pos + 8, 4, 1);
        image_put(i, pos + 12, 2, 1);
        image_put(i, pos + 14, 2, 1);
        image_put(i, pos + 36, 4, 16);
        image_put(i, pos + 48, 8, image_get(i, IMAGE_SIZE, 8));
        image_put_bytes(i, pos + 56, "1s", 2);
}

static void image_open_as(const Image *i, const NodeOptions *how, Opener *opener, Opened *ret)
{
        _cleanup_store_ Store *s = NULL;
        NodeOptions options = *how;

        *ret = (Opened){ 0 };
        ret->r = mem_store_new(i->bytes, i->len, &s);
        if (ret->r < 0)
                return;
        ret->r = cache_new(LIMIT_CACHE_DEFAULT, &ret->cache);
        if (ret->r < 0)
                return;
        options.cache = ret->cache;
        ret->r = node_open(&format_qcow2, s, &options, opener, &ret->node, &ret->err);
        if (ret->r == 0)
                TAKE(s);
}

void image_open(const Image *i, const char *snapshot, Opener *opener, Opened *ret)
{
        image_open_as(i, &(NodeOptions){ .snapshot = snapshot }, opener, ret);
}

void image_open_writable(const Image *i, Opener *opener, Opened *ret)
{
        image_open_as(i, &(NodeOptions){ .writable = true }, opener, ret);
}

void image_close(Opened *o)
{
        o->node = node_close(o->node);
        o->cache = cache_free(o->cache);
}
