/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where guest bytes lie: L1 entry → L2 table → L2 entry, and for extended entries its subclusters.
 *
 * Neighbours of one kind become one extent, so that a long read is few calls and large transfers. Damage is told
 * only for the bytes it hits: an extent ends before a damaged entry, and the next map, which starts there, fails.
 */
#include "base/bits.h"
#include "block/cache.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <string.h>

enum {
        /* How much one map looks at beyond the entry it was asked for. */
        QCOW2_MAP_SLICES = 16,
        QCOW2_MAP_ABSENT_TABLES = 4096,
};

/* One run of map. */
typedef struct Qcow2Run {
        uint64_t at;   /* the next guest byte to look at */
        uint64_t end;  /* no need to look at this one or beyond */
        Extent extent; /* what there is so far; len 0: nothing yet */
        unsigned slices_left;
        unsigned absent_left;
} Qcow2Run;

/* Takes a piece that covers run->at; false when it is of another kind and ends the run. */
static bool qcow2_run_add(Qcow2Run *run, const Extent *piece)
{
        Extent *e = &run->extent;

        if (e->len == 0) {
                *e = *piece;
        } else {
                if (piece->kind != e->kind || e->kind == EXTENT_CODED)
                        return false;
                if (piece->store != e->store || piece->in_place != e->in_place)
                        return false;
                if ((e->kind == EXTENT_DATA || e->store) && piece->pos != e->pos + e->len)
                        return false;
                e->len += piece->len;
        }
        run->at = piece->off + piece->len;
        return true;
}

int qcow2_host_cluster(
        const Qcow2 *q, uint64_t off, uint64_t entry, uint64_t *ret_pos, bool *ret_is)
{
        uint64_t pos = entry & QCOW2_ENTRY_POS;

        if ((entry & QCOW2_L2_RESERVED) || !is_aligned(pos, q->cluster_size))
                return -EIO;
        *ret_pos = pos;
        *ret_is = pos != 0;
        if (!qcow2_has_data_file(&q->header))
                return 0;

        /* In a data file each cluster lies where the guest sees it, and the first one lies at 0. */
        if (pos == 0)
                *ret_is = entry & QCOW2_ENTRY_COPIED;
        return *ret_is && pos != off ? -EIO : 0;
}

/* For a map, a place that is kept for zeroes, too. To those who read it would only part what is alike. */
static void qcow2_tell_place(const Qcow2 *q, bool is, uint64_t pos, Extent *e)
{
        if (!is || !q->tells_places)
                return;
        e->store = q->data_store;
        e->pos = pos;
}

static int qcow2_classify_plain(const Qcow2 *q, uint64_t off, uint64_t entry, Extent *ret)
{
        uint64_t pos;
        bool is;

        int r = qcow2_host_cluster(q, off, entry, &pos, &is);
        if (r < 0)
                return r;
        *ret = (Extent){ .off = off, .len = q->cluster_size };
        qcow2_tell_place(q, is, pos, ret);
        if (entry & QCOW2_ENTRY_ZERO) {
                /* Version 2 has no zero clusters: the bit is damage. */
                if (q->header.version < 3)
                        return -EIO;
                ret->kind = EXTENT_HOLE;
        } else if (is) {
                ret->kind = EXTENT_DATA;
                ret->pos = pos;
        } else {
                ret->kind = EXTENT_BELOW;
        }
        return 0;
}

/* The subclusters from that of `at` on which are of its kind. */
static int qcow2_classify_extended(
        const Qcow2 *q, uint64_t at, uint64_t entry, uint64_t bitmap, Extent *ret)
{
        uint64_t cluster = round_down(at, q->cluster_size);
        unsigned bits = q->header.cluster_bits - QCOW2_SUBCLUSTER_BITS;
        unsigned first = (unsigned)((at - cluster) >> bits);
        uint32_t allocated = (uint32_t)bitmap;
        uint32_t zero = (uint32_t)(bitmap >> QCOW2_SUBCLUSTERS);
        uint32_t alike;
        uint64_t pos;
        bool is;

        int r = qcow2_host_cluster(q, cluster, entry, &pos, &is);
        if (r < 0)
                return r;
        if ((entry & QCOW2_ENTRY_ZERO) || (allocated & zero) || (allocated && !is))
                return -EIO;

        *ret = (Extent){ .off = cluster + ((uint64_t)first << bits) };
        pos += (uint64_t)first << bits;
        qcow2_tell_place(q, is, pos, ret);
        if (allocated >> first & 1) {
                ret->kind = EXTENT_DATA;
                ret->pos = pos;
                alike = allocated;
        } else if (zero >> first & 1) {
                ret->kind = EXTENT_HOLE;
                alike = zero;
        } else {
                ret->kind = EXTENT_BELOW;
                alike = ~(allocated | zero);
        }
        /* The shift brings zeroes in from above, so the count ends with the cluster. */
        unsigned count = (unsigned)__builtin_ctzll(~(uint64_t)(alike >> first));
        ret->len = (uint64_t)count << bits;
        return 0;
}

bool qcow2_is_in_place(const Qcow2 *q, uint64_t pos, uint64_t entry)
{
        Qcow2Writer *w = q->writer;

        if (!(entry & QCOW2_ENTRY_COPIED))
                return false;
        if (!w)
                return true;
        if (!atomic_load_explicit(&w->prepared, memory_order_acquire))
                return false;
        if (qcow2_has_data_file(&q->header))
                return true;
        /* What lies past the end may be given to somebody else; what may be a table is looked at more closely. */
        return pos < atomic_load_explicit(&w->file_end, memory_order_acquire) &&
               !qcow2_guard_suspects(q, pos);
}

static int qcow2_classify(const Qcow2 *q, uint64_t at, const be64 *entry, bool private, Extent *ret)
{
        uint64_t e = from_be64(entry[0]);
        uint64_t cluster = round_down(at, q->cluster_size);
        int r;

        if (e & QCOW2_ENTRY_COMPRESSED) {
                /* A data file is to be readable without us, so nothing in it is compressed. */
                if (qcow2_has_data_file(&q->header))
                        return -EIO;
                *ret = (Extent){
                        .kind = EXTENT_CODED,
                        .off = cluster,
                        .len = q->cluster_size,
                        .cookie = e,
                };
                return 0;
        }

        r = q->extended ? qcow2_classify_extended(q, at, e, from_be64(entry[1]), ret)
                        : qcow2_classify_plain(q, cluster, e, ret);
        if (r < 0)
                return r;
        if (ret->kind == EXTENT_DATA) {
                /* Without the data file what lies there cannot be had. While the image is locked there is no store either. */
                if (!q->host_store)
                        return -EIO;
                ret->store = q->data_store;
                ret->unproven = q->is_sparse;
                ret->in_place = private && qcow2_is_in_place(q, e & QCOW2_ENTRY_POS, e);
                if (q->aes)
                        qcow2_aes_extent(ret);
        }
        return 0;
}

/* Past the end of the file a table reads as empty, as the tables of an image that was just made do. */
static int qcow2_load_slice(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

/* Goes through entries, of which the first is for `base`: 1 go on behind them, 0 the run ends. */
static int qcow2_run_entries(const Qcow2 *q,
                             Qcow2Run *run,
                             const be64 *entries,
                             uint64_t base,
                             uint64_t end,
                             bool private)
{
        int r = 1;

        while (r == 1 && run->at < end) {
                uint64_t i = (run->at - base) >> q->header.cluster_bits;
                Extent piece;

                r = qcow2_classify(q, run->at, entries + (i << (q->entry_bits - 3)), private,
                                   &piece);
                if (r == 0)
                        r = qcow2_run_add(run, &piece);
        }
        return r;
}

int qcow2_get_table_slice(Node *n, uint64_t table, uint64_t off, Qcow2Slice *ret, be64 **ret_entry)
{
        const Qcow2 *q = n->state;
        uint64_t at = (off >> q->header.cluster_bits << q->entry_bits) & (q->cluster_size - 1);
        CacheKey key = {
                .owner = n,
                .kind = QCOW2_CACHE_L2,
                .at = table + round_down(at, q->slice_len),
        };
        CacheEntry *entry = NULL;

        int r = cache_get(n->cache, &key, q->slice_len, qcow2_load_slice, n->store, &entry);
        if (r < 0)
                return r;
        *ret = (Qcow2Slice){ entry, key.at };
        *ret_entry = (be64 *)cache_entry_bytes(entry) + at % q->slice_len / sizeof(be64);
        return 0;
}

/* Goes through the entries of one slice: 1 go on behind it, 0 the run ends. */
static int qcow2_run_slice(Node *n, Qcow2Run *run, uint64_t table, bool private)
{
        const Qcow2 *q = n->state;
        uint64_t span = (uint64_t)q->slice_len >> q->entry_bits << q->header.cluster_bits;
        uint64_t end = u64_min(run->end, round_down(run->at, span) + span);
        Qcow2Slice slice = { 0 };
        be64 *entry = NULL;

        int r = qcow2_get_table_slice(n, table, run->at, &slice, &entry);
        if (r < 0)
                return r;
        pthread_mutex_t *lock = q->writer ? qcow2_slice_lock(q->writer, slice.pos) : NULL;
        if (lock)
                pthread_mutex_lock(lock);
        r = qcow2_run_entries(q, run, entry, round_down(run->at, q->cluster_size), end, private);
        if (lock)
                pthread_mutex_unlock(lock);
        cache_put(n->cache, slice.entry);
        return r;
}

bool qcow2_l1_entry_is_sound(const Qcow2 *q, uint64_t entry)
{
        return !(entry & QCOW2_L1_RESERVED) && is_aligned(entry & QCOW2_ENTRY_POS, q->cluster_size);
}

/* Goes on by a slice or an absent table: 1 go on, 0 the run ends. */
static int qcow2_run_step(Node *n, Qcow2Run *run)
{
        const Qcow2 *q = n->state;
        uint64_t index = run->at >> q->l1_bits;
        uint64_t entry = index < q->l1_count ? qcow2_l1_get(q, index) : 0;
        uint64_t table = entry & QCOW2_ENTRY_POS;

        if (!qcow2_l1_entry_is_sound(q, entry))
                return -EIO;
        if (table != 0) {
                if (run->slices_left-- == 0)
                        return 0;
                return qcow2_run_slice(n, run, table,
                                       !q->shows_snapshot && (entry & QCOW2_ENTRY_COPIED));
        }

        if (run->absent_left-- == 0)
                return 0;
        Extent absent = {
                .kind = EXTENT_BELOW,
                .off = index << q->l1_bits,
                .len = UINT64_C(1) << q->l1_bits,
        };
        return qcow2_run_add(run, &absent);
}

int qcow2_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Qcow2Run run = {
                .at = off,
                .end = off + len,
                .slices_left = QCOW2_MAP_SLICES,
                .absent_left = QCOW2_MAP_ABSENT_TABLES,
        };
        int r = 1;

        while (r == 1 && run.at < run.end)
                r = qcow2_run_step(n, &run);
        if (run.extent.len == 0)
                return r;

        /* A coded cluster unpacks as a whole, even where it reaches past the end of the disk. */
        if (run.extent.kind != EXTENT_CODED)
                run.extent.len = u64_min(run.extent.len, n->size - run.extent.off);
        *ret = run.extent;
        return 0;
}
