/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image has to be told before somebody writes to it, or when it turns out to be damaged. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <inttypes.h>

/* One 8-byte field of the header, written alone so that it changes as a whole. */
static int qcow2_write_features(Node *n, size_t at, uint64_t features)
{
        be64 raw = to_be64(features);
        return store_write(n->store, &raw, sizeof(raw), at);
}

int qcow2_mark_corrupt(Node *n)
{
        Qcow2 *q = n->state;

        /* Once: after this nobody writes any more. */
        if (atomic_exchange(&n->broken, true) || q->header.version < 3)
                return -EIO;
        q->header.incompatible |= QCOW2_INCOMPATIBLE_CORRUPT;
        int r = qcow2_write_features(n, offsetof(Qcow2DiskHeader, incompatible_features),
                                     q->header.incompatible);
        if (r >= 0)
                (void)store_sync(n->store);
        return -EIO;
}

static int qcow2_set_autoclear(Node *n, uint64_t autoclear)
{
        Qcow2 *q = n->state;

        if (autoclear == q->header.autoclear)
                return 0;
        int r = qcow2_write_features(n, offsetof(Qcow2DiskHeader, autoclear_features), autoclear);
        if (r >= 0)
                q->header.autoclear = autoclear;
        return r;
}

/* One entry of the bitmap directory: where it lies, and how long it is with what follows it. */
typedef struct Qcow2BitmapEntry {
        Qcow2DiskBitmap disk;
        uint64_t pos, len;
} Qcow2BitmapEntry;

/* The entry at *done bytes into the directory. EBADMSG when it does not lie within it. */
static int qcow2_bitmap_next(Node *n, uint64_t *done, Qcow2BitmapEntry *ret)
{
        const Qcow2 *q = n->state;
        Qcow2BitmapEntry e = { .pos = q->bitmaps_pos + *done };

        if (!in_range(*done, sizeof(e.disk), q->bitmaps_len))
                return -EBADMSG;
        int r = store_read(n->store, &e.disk, sizeof(e.disk), e.pos);
        if (r < 0)
                return r;
        e.len = round_up(sizeof(e.disk) + (uint64_t)from_be32(e.disk.extra_size) +
                                 from_be16(e.disk.name_size),
                         8);
        if (!in_range(*done, e.len, q->bitmaps_len))
                return -EBADMSG;
        *done += e.len;
        *ret = e;
        return 0;
}

/* An enabled bitmap has to record every write. We do not, so it says from now on that it is incomplete, as after a
 * crash of a program that does. Disabled ones record nothing and stay true. */
static int qcow2_use_bitmaps(Node *n)
{
        Qcow2 *q = n->state;
        uint64_t done = 0;

        for (uint64_t i = 0; i < q->bitmap_count; i++) {
                Qcow2BitmapEntry e;
                int r = qcow2_bitmap_next(n, &done, &e);
                if (r < 0)
                        return r;
                uint32_t flags = from_be32(e.disk.flags);
                if (!(flags & QCOW2_BITMAP_AUTO) || (flags & QCOW2_BITMAP_IN_USE))
                        continue;
                be32 raw = to_be32(flags | QCOW2_BITMAP_IN_USE);
                r = store_write(n->store, &raw, sizeof(raw),
                                e.pos + offsetof(Qcow2DiskBitmap, flags));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Says that none of the bitmaps holds. */
static int qcow2_drop_bitmaps(Node *n)
{
        Qcow2 *q = n->state;

        int r = qcow2_set_autoclear(n, q->header.autoclear & ~QCOW2_AUTOCLEAR_BITMAPS);
        if (r >= 0)
                q->bitmap_count = 0;
        return r;
}

static int qcow2_prepare_locked(Node *n)
{
        Qcow2 *q = n->state;

        if (atomic_load(&q->writer->prepared))
                return 0;
        int r = qcow2_use_bitmaps(n);
        if (r == -EBADMSG || r == -ENODATA)
                r = qcow2_drop_bitmaps(n);
        if (r < 0)
                return r;
        r = qcow2_set_autoclear(
                n, q->header.autoclear & (QCOW2_AUTOCLEAR_BITMAPS | QCOW2_AUTOCLEAR_DATA_FILE_RAW));
        if (r < 0)
                return r;
        r = node_sync(n);
        if (r < 0)
                return r;
        atomic_store(&q->writer->prepared, true);
        return 1;
}

int qcow2_prepare(Node *n)
{
        Qcow2 *q = n->state;
        int r = 0;

        if (atomic_load_explicit(&q->writer->prepared, memory_order_acquire))
                return 0;
        LOCKED(&q->writer->commit_lock)
        {
                r = qcow2_prepare_locked(n);
        }
        return r;
}

/* Has the bitmap's table an entry for each cluster of bits of a disk of `size` bytes? */
static bool qcow2_bitmap_fits(const Qcow2 *q, const Qcow2DiskBitmap *b, uint64_t size)
{
        if (b->granularity_bits < QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
            b->granularity_bits > QCOW2_BITMAP_GRANULARITY_BITS_MAX)
                return false;
        uint64_t bits = div_round_up(size, UINT64_C(1) << b->granularity_bits);
        return div_round_up(div_round_up(bits, 8), q->cluster_size) == from_be32(b->table_size);
}

int qcow2_prepare_size(Node *n, uint64_t size)
{
        Qcow2 *q = n->state;
        uint64_t done = 0;
        /* Bits past a new end would come back with a later, longer disk. */
        bool drop = q->bitmap_count > 0 && size < n->size;
        int r = 0;

        for (uint64_t i = 0; i < q->bitmap_count && !drop; i++) {
                Qcow2BitmapEntry e;
                r = qcow2_bitmap_next(n, &done, &e);
                if (r < 0 && r != -EBADMSG && r != -ENODATA)
                        return r;
                drop = r < 0 || !qcow2_bitmap_fits(q, &e.disk, size);
        }
        if (!drop)
                return 0;
        r = qcow2_drop_bitmaps(n);
        return r < 0 ? r : node_sync(n);
}
