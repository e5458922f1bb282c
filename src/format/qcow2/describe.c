/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `rawview info` prints beyond size and names: qemu-img's keys, in its order. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/info-luks.h"
#include "block/info.h"
#include "block/table.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int qcow2_describe_encryption(const Qcow2 *q, Info *info)
{
        if (q->header.crypt_method == QCOW2_CRYPT_NONE)
                return 0;
        info->encrypted = true;
        int r = info_begin(info, FACT_OBJECT, "encrypt");
        if (r >= 0)
                r = q->luks ? info_add_luks(info, q->luks, "luks")
                            : info_add_text(info, "format", "aes");
        return r < 0 ? r : info_end(info);
}

static int qcow2_describe_facts(const Qcow2 *q, Info *info)
{
        const Qcow2Header *h = &q->header;
        int r;

        r = info_add_text(info, "compat", h->version >= 3 ? "1.1" : "0.10");
        if (r < 0)
                return r;
        r = info_add_text(info, "compression-type",
                          h->compression == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib");
        if (r < 0)
                return r;
        if (h->version >= 3) {
                r = info_add_bool(info, "lazy-refcounts",
                                  h->compatible & QCOW2_COMPATIBLE_LAZY_REFCOUNTS);
                if (r < 0)
                        return r;
        }
        r = info_add_number(info, "refcount-bits", UINT64_C(1) << h->refcount_order);
        if (r < 0)
                return r;
        if (h->version < 3)
                return qcow2_describe_encryption(q, info);

        if (q->data_name) {
                r = info_add_text(info, "data-file", q->data_name);
                if (r < 0)
                        return r;
        }
        r = qcow2_describe_encryption(q, info);
        if (r >= 0 && q->data_name)
                r = info_add_bool(info, "data-file-raw",
                                  h->autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW);
        if (r < 0)
                return r;
        r = info_add_bool(info, "corrupt", h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT);
        if (r < 0)
                return r;
        return info_add_bool(info, "extended-l2", q->extended);
}

static int qcow2_describe_snapshots(Node *n, Info *info)
{
        Qcow2Cursor cursor = { 0 };

        for (;;) {
                _cleanup_snapshot_ Qcow2Snapshot s = { 0 };

                int r = qcow2_snapshot_next(n, &cursor, &s, NULL);
                if (r <= 0)
                        return r;
                r = info_add_snapshot(info, &(SnapshotInfo){
                                                    .id = s.id,
                                                    .name = s.name,
                                                    .vm_state_size = s.vm_state_size,
                                                    .date_sec = s.date_sec,
                                                    .date_nsec = s.date_nsec,
                                                    .vm_clock_nsec = s.vm_clock_nsec,
                                                    .has_icount = s.has_icount,
                                                    .icount = s.icount,
                                                    .disk_size = s.disk_size,
                                            });
                if (r < 0)
                        return r;
        }
}

/* Public specification, "Bitmap directory". A bitmap with extra data is one that we do not know how to read. */
static int qcow2_bitmap_check(const Qcow2 *q, const Qcow2DiskBitmap *d)
{
        uint64_t table = from_be64(d->table_offset);
        uint32_t count = from_be32(d->table_size);

        if (from_be32(d->extra_size) != 0)
                return -EOPNOTSUPP;
        if (table == 0 || !is_aligned(table, q->cluster_size) || count == 0 ||
            count > QCOW2_BITMAP_TABLE_COUNT_MAX)
                return -EBADMSG;
        if ((from_be32(d->flags) & ~(uint32_t)QCOW2_BITMAP_FLAGS_KNOWN) ||
            d->type != QCOW2_BITMAP_TYPE_DIRTY)
                return -EBADMSG;
        if (d->granularity_bits < QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
            d->granularity_bits > QCOW2_BITMAP_GRANULARITY_BITS_MAX)
                return -EBADMSG;
        if (from_be16(d->name_size) == 0 || from_be16(d->name_size) > QCOW2_BITMAP_NAME_MAX)
                return -EBADMSG;
        return 0;
}

static int qcow2_describe_bitmap(Node *n, Qcow2Cursor *c, Info *info)
{
        const Qcow2 *q = n->state;
        char name[QCOW2_BITMAP_NAME_MAX + 1] = "";
        Qcow2DiskBitmap d;

        if (!in_range(c->done, sizeof(d), q->bitmaps_len))
                return -EBADMSG;
        int r = store_read(n->store, &d, sizeof(d), q->bitmaps_pos + c->done);
        if (r < 0)
                return r;
        r = qcow2_bitmap_check(q, &d);
        if (r < 0)
                return r;
        size_t len = from_be16(d.name_size);
        r = store_read(n->store, name, len, q->bitmaps_pos + c->done + sizeof(d));
        if (r < 0)
                return r;
        if (memchr(name, 0, len))
                return -EBADMSG;

        c->done += round_up(sizeof(d) + len, 8);
        c->index++;
        return info_add_bitmap(info, &(BitmapInfo){
                                             .name = name,
                                             .granularity = UINT64_C(1) << d.granularity_bits,
                                             .in_use = from_be32(d.flags) & QCOW2_BITMAP_IN_USE,
                                             .automatic = from_be32(d.flags) & QCOW2_BITMAP_AUTO,
                                     });
}

static int qcow2_describe_bitmaps(Node *n, Info *info)
{
        const Qcow2 *q = n->state;
        Qcow2Cursor cursor = { 0 };

        while (cursor.index < q->bitmap_count) {
                int r = qcow2_describe_bitmap(n, &cursor, info);
                if (r < 0)
                        return r;
        }
        return cursor.done == q->bitmaps_len ? 0 : -EBADMSG;
}

int qcow2_describe(Node *n, Info *info)
{
        const Qcow2 *q = n->state;

        info->cluster_size = q->cluster_size;
        info->dirty = q->header.incompatible & QCOW2_INCOMPATIBLE_DIRTY;
        int r = qcow2_describe_facts(q, info);
        if (r < 0)
                return r;
        r = qcow2_describe_snapshots(n, info);
        if (r < 0)
                return r;
        return qcow2_describe_bitmaps(n, info);
}
