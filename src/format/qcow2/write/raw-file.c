/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A raw external data file holds what the disk shows, byte for byte, for readers that know no qcow2 (autoclear bit 1).
 * So the tables have to say "it lies there" before anything is written there: were it the other way round, a power
 * failure in between would leave bytes in the file that the disk does not show.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>
#include <string.h>

bool qcow2_is_raw_file(const Qcow2 *q)
{
        /* The bit alone, without a data file, says nothing. */
        return qcow2_has_data_file(&q->header) &&
               (q->header.autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW);
}

int qcow2_raw_file_clear(Node *n, uint64_t off, uint64_t len)
{
        const Qcow2 *q = n->state;

        int r = store_punch(q->host_store, off, len);
        return r == -EOPNOTSUPP ? store_zero(q->host_store, off, len) : r;
}

/* Makes the entry say that its cluster lies in the file, where it reads as zeroes. 1: it did not say so. */
static int qcow2_raw_file_settle_entry(Node *n, uint64_t cluster, be64 *at)
{
        const Qcow2 *q = n->state;
        uint64_t all = q->extended ? UINT32_MAX : 0, pos = 0;
        uint64_t old = from_be64(at[0]), raw = cluster | QCOW2_ENTRY_COPIED;
        bool has_host = false;

        int r = qcow2_host_cluster(q, cluster, old, &pos, &has_host);
        if (r < 0)
                return r;
        if (old == raw && (!q->extended || from_be64(at[1]) == all))
                return 0;
        /* Of a cluster that is partly there the rest is zeroes in the file as well, by what bit 1 says. */
        if (!has_host || (old & QCOW2_ENTRY_ZERO)) {
                r = qcow2_raw_file_clear(n, cluster, u64_min(q->cluster_size, n->size - cluster));
                if (r < 0)
                        return r;
        }
        at[0] = to_be64(raw);
        if (q->extended)
                at[1] = to_be64(all);
        return 1;
}

/* Entries for guest bytes from `off` on, as far as the disk goes: 1 when any changed. */
static int qcow2_raw_file_settle_entries(Node *n, uint64_t off, be64 *entries)
{
        const Qcow2 *q = n->state;
        size_t step = (size_t)1 << (q->entry_bits - 3);
        size_t count = q->slice_len / sizeof(*entries);
        int any = 0;

        for (size_t i = 0; i < count && off < n->size; i += step, off += q->cluster_size) {
                int r = qcow2_raw_file_settle_entry(n, off, entries + i);
                if (r < 0)
                        return r;
                any |= r;
        }
        return any;
}

/* Nobody sees the new entries before the disk has them. Wants the commit_lock: what is zeroes for one is written to by
 * the next. */
static int qcow2_raw_file_settle_slice(Node *n, const Qcow2Slice *slice, uint64_t off)
{
        Qcow2 *q = n->state;
        be64 *entries = cache_entry_bytes(slice->entry);
        _cleanup_free_ be64 *settled = malloc(q->slice_len);

        if (!settled)
                return -ENOMEM;
        LOCKED(qcow2_slice_lock(q->writer, slice->pos))
        {
                memcpy(settled, entries, q->slice_len);
        }
        int r = qcow2_raw_file_settle_entries(n, off, settled);
        if (r <= 0)
                return r;
        r = node_sync(n);
        if (r >= 0)
                r = store_write(n->store, settled, q->slice_len, slice->pos);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                return r;
        LOCKED(qcow2_slice_lock(q->writer, slice->pos))
        {
                memcpy(entries, settled, q->slice_len);
        }
        return 0;
}

int qcow2_raw_file_settle(Node *n, uint64_t table, uint64_t off)
{
        Qcow2 *q = n->state;
        uint64_t span = (uint64_t)q->slice_len >> q->entry_bits << q->header.cluster_bits;
        uint64_t first = round_down(off, span);
        Qcow2Slice slice = { 0 };
        be64 *entry = NULL;

        /* The table itself, if it is a new one. */
        int r = qcow2_commit(n);
        if (r < 0)
                return r;
        r = qcow2_get_table_slice(n, table, first, &slice, &entry);
        if (r < 0)
                return r;
        LOCKED(&q->writer->commit_lock)
        {
                r = qcow2_raw_file_settle_slice(n, &slice, first);
        }
        cache_put(n->cache, slice.entry);
        return r;
}
