/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressed grains: at the place of each a header that says which grain it is and how long its stream is. */
#include "base/cleanup.h"
#include "codec/inflate.h"
#include "format/vmdk/vmdk.h"

#include <errno.h>
#include <string.h>

typedef struct VmdkDiskGrain {
        le64 sector;
        le32 size;
} VmdkDiskGrain;
_Static_assert(sizeof(VmdkDiskGrain) == 12, "grain marker");

/* Reads the header of a grain, which says how long its stream is: deflate makes nothing so much longer. */
static int coded_read_len(const VmdkExtent *x, uint64_t index, uint64_t pos, size_t *ret)
{
        VmdkDiskGrain g;

        int r = store_read(x->store, &g, sizeof(g), pos);
        if (r < 0)
                return r == -ENODATA ? -EIO : r;
        size_t len = from_le32(g.size);
        if (from_le64(g.sector) != index * (x->grain / VMDK_SECTOR) || len == 0 ||
            len > 2 * x->grain)
                return -EIO;
        *ret = len;
        return 0;
}

int vmdk_coded_len(const VmdkExtent *x, uint64_t index, uint64_t pos, uint64_t *ret)
{
        size_t len = 0;

        int r = coded_read_len(x, index, pos, &len);
        if (r < 0)
                return r;
        *ret = sizeof(VmdkDiskGrain) + len;
        return 0;
}

int vmdk_read_coded(Node *n, const Extent *e, void *buf)
{
        const Vmdk *v = n->state;
        const VmdkExtent *x = vmdk_find_extent(v, e->off);
        uint64_t at = e->off - x->off;
        size_t len = 0, got = 0;

        int r = coded_read_len(x, at / x->grain, e->pos, &len);
        if (r < 0)
                return r;
        _cleanup_free_ uint8_t *packed = malloc(len);
        if (!packed)
                return -ENOMEM;
        r = store_read(x->store, packed, len, e->pos + sizeof(VmdkDiskGrain));
        if (r < 0)
                return r == -ENODATA ? -EIO : r;
        r = inflate_all(INFLATE_ZLIB, packed, len, buf, (size_t)e->len, &got);
        if (r < 0)
                return r;
        /* Only the last grain of an extent may be shorter: its writer left out what lies past the end. */
        if (got < e->len && at + e->len < x->len)
                return -EIO;
        memset((uint8_t *)buf + got, 0, (size_t)e->len - got);
        return 0;
}
