/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places for what is written. Clusters in a row get places in a row, as far as one slice of a table reaches; with
 * extended entries single subclusters get theirs, since the rest of the cluster may stay as it was.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>

/* Cookies of a place. */
enum {
        QCOW2_PLACE_OLD =
                0, /* the entry has this host cluster already, or it lies in a data file */
        QCOW2_PLACE_NEW = 1, /* host clusters that were free */
};

/* What is to be written, and the entries of its slice, from that for `off` on. */
typedef struct Qcow2Wish {
        uint64_t off, end;   /* bytes, within what the slice is for */
        uint64_t cluster;    /* where the guest cluster of `off` begins */
        const be64 *entries; /* for `cluster` and what follows */
} Qcow2Wish;

/* One L2 entry, taken apart. */
typedef struct Qcow2Entry {
        uint64_t raw, bitmap;
        uint64_t pos; /* of the host cluster, if it has one */
        bool coded, has_host;
        bool zero; /* plain entries: the whole cluster reads as zeroes */
} Qcow2Entry;

static int qcow2_entry_parse(const Qcow2 *q, const be64 *at, uint64_t cluster, Qcow2Entry *ret)
{
        Qcow2Entry e = { .raw = from_be64(at[0]) };

        if (q->extended)
                e.bitmap = from_be64(at[1]);
        e.coded = e.raw & QCOW2_ENTRY_COMPRESSED;
        if (!e.coded) {
                int r = qcow2_host_cluster(q, cluster, e.raw, &e.pos, &e.has_host);
                if (r < 0)
                        return r;
                e.zero = !q->extended && (e.raw & QCOW2_ENTRY_ZERO);
                /* As in map: a bit that this kind of entry has not, or subclusters that are nowhere, or two things. */
                if ((e.raw & QCOW2_ENTRY_ZERO) && (q->extended || q->header.version < 3))
                        return -EIO;
                if (e.bitmap & e.bitmap >> QCOW2_SUBCLUSTERS || ((uint32_t)e.bitmap && !e.has_host))
                        return -EIO;
        }
        *ret = e;
        return 0;
}

static const be64 *qcow2_wish_entry(const Qcow2 *q, const Qcow2Wish *w, uint64_t index)
{
        return w->entries + (index << (q->entry_bits - 3));
}

/* What is placed at once: whole clusters, or the subclusters of one. */
static uint64_t qcow2_place_unit(const Qcow2 *q)
{
        return q->extended ? q->cluster_size >> QCOW2_SUBCLUSTER_BITS : q->cluster_size;
}

/* How many clusters from the first on are without a place of their own and can get one in a row. */
static uint64_t qcow2_wish_count(const Qcow2 *q, const Qcow2Wish *w)
{
        uint64_t most = div_round_up(w->end - w->cluster, q->cluster_size);
        uint64_t count = 1;
        bool files = qcow2_has_data_file(&q->header);

        for (; count < most; count++) {
                Qcow2Entry e;
                int r = qcow2_entry_parse(q, qcow2_wish_entry(q, w, count),
                                          w->cluster + count * q->cluster_size, &e);
                if (r < 0 || e.coded)
                        break;
                /* One that has a host cluster to itself keeps it; the rest of a shared one has to come along, which
                 * subclusters do one cluster at a time. */
                if (e.has_host && ((e.raw & QCOW2_ENTRY_COPIED) || q->extended) &&
                    !(files && e.zero))
                        break;
        }
        return count;
}

/* Host clusters for `want` guest clusters. */
static int qcow2_place_clusters(
        Node *n, const Qcow2Wish *w, uint64_t want, Extent *place, uint64_t *ret_count)
{
        Qcow2 *q = n->state;
        uint64_t first = 0;

        if (qcow2_has_data_file(&q->header)) {
                place->pos = w->cluster;
                place->cookie = QCOW2_PLACE_OLD;
                *ret_count = want;
                return 0;
        }
        int r = qcow2_take(n, want, &first, ret_count, &place->zeroed);
        if (r < 0)
                return r;
        /* What the file has never had decrypts to noise. */
        if (q->cipher_store)
                place->zeroed = false;
        place->pos = first << q->header.cluster_bits;
        place->cookie = QCOW2_PLACE_NEW;
        return 0;
}

/* New host clusters, all of them or the subclusters from that of w->off on. */
static int qcow2_place_new(Node *n, const Qcow2Wish *w, uint64_t want, uint64_t unit, Extent *place)
{
        Qcow2 *q = n->state;
        uint64_t count = 0;

        int r = qcow2_place_clusters(n, w, want, place, &count);
        if (r < 0)
                return r;
        uint64_t skip = round_down(w->off, unit) - w->cluster;
        uint64_t end = u64_min(round_up(w->end, unit), w->cluster + count * q->cluster_size);
        place->off = w->cluster + skip;
        place->pos += skip;
        place->len = end - place->off;
        return 0;
}

/* In a host cluster that the entry has to itself: what of it is not in use yet. */
static int qcow2_place_old(const Qcow2 *q, const Qcow2Wish *w, const Qcow2Entry *e, Extent *place)
{
        uint64_t unit = qcow2_place_unit(q);
        uint64_t skip = round_down(w->off, unit) - w->cluster;
        uint64_t end = u64_min(round_up(w->end - w->cluster, unit), q->cluster_size);

        if (q->extended) {
                uint64_t at = skip;
                while (at < end && !(e->bitmap >> (at / unit) & 1))
                        at += unit;
                end = at;
        } else if (!e->zero) {
                end = skip;
        }
        /* It has become in place since map was asked. */
        if (end == skip)
                return -EAGAIN;
        place->off = w->cluster + skip;
        place->pos = e->pos + skip;
        place->len = end - skip;
        place->cookie = QCOW2_PLACE_OLD;
        return 0;
}

/* Wants the lock. */
static int qcow2_place(Node *n, const Qcow2Wish *w, Extent *ret)
{
        Qcow2 *q = n->state;
        Extent place = { .kind = EXTENT_DATA, .store = q->data_store, .in_place = true };
        Qcow2Entry e;

        int r = qcow2_entry_parse(q, w->entries, w->cluster, &e);
        if (r < 0)
                return r;
        if (e.has_host && (e.raw & QCOW2_ENTRY_COPIED)) {
                bool mine = qcow2_is_in_place(q, e.pos, e.raw);
                /* Whose cluster lies over a table, or where the file has never been, must not be written. */
                if (!mine &&
                    (e.pos >= atomic_load(&q->writer->file_end) || qcow2_guard_hits(q, e.pos)))
                        return qcow2_mark_corrupt(n);
                r = mine ? qcow2_place_old(q, w, &e, &place)
                         : qcow2_place_new(n, w, 1, q->cluster_size, &place);
        } else if (e.has_host || e.coded) {
                uint64_t want = e.coded || q->extended ? 1 : qcow2_wish_count(q, w);
                r = qcow2_place_new(n, w, want, q->cluster_size, &place);
        } else {
                r = qcow2_place_new(n, w, qcow2_wish_count(q, w), qcow2_place_unit(q), &place);
        }
        if (r < 0)
                return r;
        *ret = place;
        return 0;
}

int qcow2_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Qcow2 *q = n->state;
        uint64_t span = (uint64_t)q->slice_len >> q->entry_bits << q->header.cluster_bits;
        Qcow2Wish wish = {
                .off = off,
                .end = u64_min(off + len, round_down(off, span) + span),
                .cluster = round_down(off, q->cluster_size),
        };
        Qcow2Slice slice = { 0 };
        be64 *entry = NULL;
        uint64_t table = 0;

        int r = qcow2_prepare(n);
        if (r != 0)
                return r < 0 ? r : -EAGAIN;
        r = qcow2_make_room(n);
        if (r < 0)
                return r;
        r = qcow2_own_table(n, off, &table);
        if (r < 0)
                return r;
        if (qcow2_is_raw_file(q)) {
                r = qcow2_raw_file_settle(n, table, off);
                return r < 0 ? r : -EAGAIN;
        }
        r = qcow2_get_table_slice(n, table, off, &slice, &entry);
        if (r < 0)
                return r;
        wish.entries = entry;
        LOCKED(&q->writer->lock)
        {
                r = qcow2_place(n, &wish, ret);
        }
        cache_put(n->cache, slice.entry);
        return r;
}

/* The bits of the subclusters of the guest cluster at `cluster` that the place covers. */
static uint64_t qcow2_covered(const Qcow2 *q, const Extent *e, uint64_t cluster)
{
        uint64_t unit = qcow2_place_unit(q);
        uint64_t from = (u64_max(e->off, cluster) - cluster) / unit;
        uint64_t to = (u64_min(e->off + e->len, cluster + q->cluster_size) - cluster) / unit;

        return ((UINT64_C(1) << to) - 1) & ~((UINT64_C(1) << from) - 1);
}

/* Makes the entry of one cluster say where it lies now, and gives up where it lay. Wants both locks. */
static void qcow2_publish_entry(Node *n, const Extent *e, uint64_t cluster, be64 *at)
{
        Qcow2 *q = n->state;
        uint64_t old = from_be64(at[0]);
        uint64_t host = e->pos - (e->off - round_down(e->off, q->cluster_size)) +
                        (cluster - round_down(e->off, q->cluster_size));
        bool moves = e->cookie == QCOW2_PLACE_NEW;

        if (q->extended) {
                uint64_t covered = qcow2_covered(q, e, cluster);
                uint64_t bitmap = from_be64(at[1]);
                if (old & QCOW2_ENTRY_COMPRESSED)
                        bitmap = 0;
                bitmap &= ~(covered << QCOW2_SUBCLUSTERS);
                at[1] = to_be64(bitmap | covered);
        }
        at[0] = to_be64(host | QCOW2_ENTRY_COPIED);
        if (moves)
                qcow2_give_up(n, old);
}

/* Wants the lock, and the slice in the list of those changed. */
static void qcow2_publish_entries(Node *n, const Extent *e, uint64_t slice_pos, be64 *entry)
{
        Qcow2 *q = n->state;
        uint64_t cluster = round_down(e->off, q->cluster_size);

        LOCKED(qcow2_slice_lock(q->writer, slice_pos))
        {
                for (; cluster < e->off + e->len; cluster += q->cluster_size) {
                        qcow2_publish_entry(n, e, cluster, entry);
                        entry += (size_t)1 << (q->entry_bits - 3);
                }
        }
}

int qcow2_publish(Node *n, const Extent *e)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t table = qcow2_l1_get(q, e->off >> q->l1_bits) & QCOW2_ENTRY_POS;
        Qcow2Slice slice = { 0 };
        be64 *entry = NULL;

        int r = qcow2_get_table_slice(n, table, e->off, &slice, &entry);
        if (r < 0)
                return r;
        LOCKED(&w->lock)
        {
                r = qcow2_row_reserve(&w->freed, (size_t)(e->len / q->cluster_size) + 2);
                int k = r < 0 ? r : qcow2_slice_keep(n, &w->tables, slice.entry, slice.pos);
                if (r < 0)
                        cache_put(n->cache, slice.entry);
                r = k;
                if (r >= 0)
                        qcow2_publish_entries(n, e, slice.pos, entry);
        }
        return r;
}

void qcow2_release(Node *n, const Extent *e)
{
        Qcow2 *q = n->state;
        uint64_t first = e->pos >> q->header.cluster_bits;
        uint64_t end = div_round_up(e->pos + e->len, q->cluster_size);
        Qcow2Row row = { first, end - first, false };

        if (e->cookie != QCOW2_PLACE_NEW)
                return;
        /* What cannot be given back is a leak, which harms nobody. */
        LOCKED(&q->writer->lock)
        {
                (void)qcow2_refcount_drop(n, &row);
        }
}
