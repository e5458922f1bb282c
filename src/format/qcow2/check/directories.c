/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a check needs of the snapshot table and the bitmap directory: the places in them. Entries that other code
 * refuses as a whole are looked at as far as they go.
 */
#include "base/bits.h"
#include "format/qcow2/check/check.h"

#include <errno.h>
#include <inttypes.h>

enum {
        QCOW2_BITMAP_ENTRY_ONES = 1,
};
#define QCOW2_BITMAP_ENTRY_RESERVED UINT64_C(0xff000000000001fe)

static int qcow2_check_snapshot_l1(Qcow2Check *c,
                                   const Qcow2DiskSnapshot *d,
                                   uint64_t index,
                                   const Qcow2Visitor *v)
{
        uint64_t pos = from_be64(d->l1_table_offset);
        uint64_t count = from_be32(d->l1_size);

        c->is_blind |= !is_aligned(pos, c->q->cluster_size) || count > QCOW2_L1_COUNT_MAX ||
                       (count > 0 && pos >= c->file_size);
        if (!is_aligned(pos, c->q->cluster_size)) {
                check_corruption(c->out,
                                 "ERROR snapshot %" PRIu64 ": its L1 table at 0x%" PRIx64
                                 " is not at a multiple of the cluster size",
                                 index, pos);
                return 0;
        }
        if (count > QCOW2_L1_COUNT_MAX) {
                check_corruption(c->out,
                                 "ERROR snapshot %" PRIu64 ": its L1 table of %" PRIu64
                                 " entries is larger than %d",
                                 index, count, QCOW2_L1_COUNT_MAX);
                return 0;
        }
        qcow2_check_refer(c, pos, count * sizeof(be64), "L1 table of a snapshot", 0);
        /* Past the end of the file everything is 0. */
        if (pos >= c->file_size)
                return 0;
        return qcow2_check_walk(c, pos, count, false, v);
}

/* *done is where the entry begins in the table, and afterwards where it ends. */
static int qcow2_check_snapshot(Qcow2Check *c,
                                uint64_t index,
                                uint64_t *done,
                                const Qcow2Visitor *v)
{
        const Qcow2Header *h = &c->q->header;
        uint64_t pos = h->snapshots_pos + *done;
        Qcow2DiskSnapshot d;

        int r = qcow2_check_work(c, 1);
        if (r < 0)
                return r;
        r = store_read_padded(c->n->store, &d, sizeof(d), pos);
        if (r < 0)
                return err_set(&c->report->err, -r,
                               "cannot read snapshot %" PRIu64 " of the snapshot table: %m", index);
        uint64_t extra = from_be32(d.extra_size);
        if (extra > QCOW2_SNAPSHOT_EXTRA_MAX)
                return err_set(&c->report->err, EFBIG,
                               "snapshot %" PRIu64 ": extra_data_size %" PRIu64 " is more than %d",
                               index, extra, QCOW2_SNAPSHOT_EXTRA_MAX);
        if (!in_range(pos, sizeof(d), c->file_size)) {
                c->is_blind = true;
                check_corruption(c->out,
                                 "ERROR snapshot %" PRIu64 ": the file ends before its entry does",
                                 index);
        } else if (h->version >= 3 && extra < offsetof(Qcow2DiskSnapshotExtra, icount)) {
                check_corruption(c->out,
                                 "ERROR snapshot %" PRIu64 ": extra_data_size %" PRIu64
                                 " is less than %zu",
                                 index, extra, offsetof(Qcow2DiskSnapshotExtra, icount));
        }
        *done += round_up(sizeof(d) + extra + from_be16(d.id_size) + from_be16(d.name_size), 8);
        if (*done > QCOW2_SNAPSHOT_TABLE_LEN_MAX)
                return err_set(&c->report->err, EFBIG, "the snapshot table is longer than %d bytes",
                               QCOW2_SNAPSHOT_TABLE_LEN_MAX);
        return qcow2_check_snapshot_l1(c, &d, index, v);
}

int qcow2_check_snapshots_of(Qcow2Check *c, const Qcow2Visitor *v)
{
        const Qcow2Header *h = &c->q->header;
        uint64_t done = 0;

        if (h->snapshot_count == 0)
                return 0;
        if (qcow2_has_data_file(h))
                check_corruption(c->out,
                                 "ERROR nb_snapshots %" PRIu64
                                 ": an image with a data file cannot have any",
                                 h->snapshot_count);
        for (uint64_t i = 0; i < h->snapshot_count; i++) {
                int r = qcow2_check_snapshot(c, i, &done, v);
                if (r < 0)
                        return r;
        }
        qcow2_check_refer(c, h->snapshots_pos, done, "snapshot table", 0);
        return 0;
}

static void qcow2_check_bitmap_entry(Qcow2Check *c, uint64_t pos, uint64_t entry)
{
        uint64_t cluster = entry & QCOW2_ENTRY_POS;

        if ((entry & QCOW2_BITMAP_ENTRY_RESERVED) ||
            (cluster != 0 && (entry & QCOW2_BITMAP_ENTRY_ONES)))
                check_corruption(c->out,
                                 "ERROR bitmap table entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): reserved bits",
                                 pos, entry);
        if (!is_aligned(cluster, c->q->cluster_size))
                check_corruption(c->out,
                                 "ERROR bitmap table entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): the cluster is not at a multiple of the cluster size",
                                 pos, entry);
        c->is_blind |= entry & QCOW2_BITMAP_ENTRY_RESERVED;
        if (cluster != 0)
                qcow2_check_refer(c, cluster, c->q->cluster_size, "bitmap cluster", pos);
}

static int qcow2_check_bitmap_table(Qcow2Check *c, uint64_t pos, uint64_t count)
{
        const uint64_t piece = QCOW2_CHECK_PIECE / sizeof(be64);

        for (uint64_t i = 0; i < count && pos + i * sizeof(be64) < c->file_size; i += piece) {
                uint64_t rest = u64_min(piece, count - i);
                uint64_t at = pos + i * sizeof(be64);
                int r = qcow2_check_work(c, rest);
                if (r < 0)
                        return r;
                r = store_read_padded(c->n->store, c->l1_piece, rest * sizeof(be64), at);
                if (r < 0)
                        return err_set(&c->report->err, -r,
                                       "cannot read the bitmap table at %" PRIu64 ": %m", pos);
                for (uint64_t k = 0; k < rest; k++) {
                        uint64_t entry = from_be64(((const be64 *)c->l1_piece)[k]);
                        if (entry != 0)
                                qcow2_check_bitmap_entry(c, at + k * sizeof(be64), entry);
                }
        }
        return 0;
}

/* What is wrong with the directory entry; NULL: nothing that matters for its places. */
static const char *qcow2_check_bitmap_fields(const Qcow2Check *c, const Qcow2DiskBitmap *d)
{
        uint64_t table = from_be64(d->table_offset);
        uint32_t count = from_be32(d->table_size);

        if (table == 0 || !is_aligned(table, c->q->cluster_size))
                return "the place of its table";
        if (count == 0 || count > QCOW2_BITMAP_TABLE_COUNT_MAX)
                return "the size of its table";
        if (from_be32(d->flags) & ~(uint32_t)QCOW2_BITMAP_FLAGS_KNOWN)
                return "reserved flags";
        if (d->type != QCOW2_BITMAP_TYPE_DIRTY)
                return "its type";
        if (d->granularity_bits < QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
            d->granularity_bits > QCOW2_BITMAP_GRANULARITY_BITS_MAX)
                return "its granularity";
        if (from_be16(d->name_size) == 0 || from_be16(d->name_size) > QCOW2_BITMAP_NAME_MAX)
                return "the length of its name";
        return NULL;
}

static int qcow2_check_bitmap(Qcow2Check *c, uint64_t index, uint64_t *done)
{
        uint64_t pos = c->q->bitmaps_pos + *done;
        Qcow2DiskBitmap d;

        int r = qcow2_check_work(c, 1);
        if (r < 0)
                return r;
        r = store_read_padded(c->n->store, &d, sizeof(d), pos);
        if (r < 0)
                return err_set(&c->report->err, -r, "cannot read the bitmap directory: %m");
        *done +=
                round_up(sizeof(d) + from_be16(d.name_size) + (uint64_t)from_be32(d.extra_size), 8);
        const char *wrong = qcow2_check_bitmap_fields(c, &d);
        if (wrong) {
                c->is_blind = true;
                check_corruption(c->out, "ERROR bitmap %" PRIu64 " at 0x%" PRIx64 ": %s", index,
                                 pos, wrong);
                return 0;
        }
        uint64_t table = from_be64(d.table_offset);
        uint64_t count = from_be32(d.table_size);
        c->is_blind |= table >= c->file_size;
        qcow2_check_refer(c, table, count * sizeof(be64), "bitmap table", pos);
        return qcow2_check_bitmap_table(c, table, count);
}

int qcow2_check_bitmaps_of(Qcow2Check *c)
{
        const Qcow2 *q = c->q;
        uint64_t done = 0, i = 0;

        if (q->bitmap_count == 0)
                return 0;
        qcow2_check_refer(c, q->bitmaps_pos, q->bitmaps_len, "bitmap directory", 0);
        for (; i < q->bitmap_count && in_range(done, sizeof(Qcow2DiskBitmap), q->bitmaps_len);
             i++) {
                int r = qcow2_check_bitmap(c, i, &done);
                if (r < 0)
                        return r;
        }
        if (i == q->bitmap_count && done == q->bitmaps_len)
                return 0;
        c->is_blind = true;
        check_corruption(c->out,
                         "ERROR bitmap directory: %" PRIu64 " bitmaps do not end where its %" PRIu64
                         " bytes end",
                         q->bitmap_count, q->bitmaps_len);
        return 0;
}
