/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gives clusters back. Layout is held exclusively, so nobody reads or writes guest data meanwhile.
 *
 * The space of a cluster that nothing else refers to goes back to the host at once, before the entry is on the disk:
 * if the power fails in between, the old entry finds zeroes, and zeroes are what was asked for. Used for something
 * else it is only after a commit. Of an encrypted image zeroes in the file are noise: there the space is given back after a commit, too
 * (qcow2_give_up), and that of a data file not at all.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/qcow2/write/writer.h"

#include <errno.h>

/* A walk over whole guest clusters. */
typedef struct Qcow2Clearing {
        Qcow2Clear how;
        bool below;           /* entries that show what lies below are cleared too */
        uint64_t off, end;    /* what is still to be cleared */
        uint64_t punch, done; /* [punch, done) of the store is to be punched */
} Qcow2Clearing;

bool qcow2_has_below(const Node *n)
{
        return n->backing || n->backing_name;
}

/* What an entry becomes. */
static void qcow2_cleared_entry(const Qcow2 *q, const Qcow2Clearing *c, const be64 *at, be64 *ret)
{
        uint64_t raw = from_be64(at[0]), bitmap = q->extended ? from_be64(at[1]) : 0;
        bool absent = raw == 0 && bitmap == 0;

        if (c->how == QCOW2_CLEAR_FORGET) {
                raw = bitmap = 0;
        } else if (!absent || c->below) {
                bool marks = q->header.version >= 3;
                raw = marks && !q->extended ? QCOW2_ENTRY_ZERO : 0;
                bitmap = q->extended ? UINT64_C(0xffffffff) << QCOW2_SUBCLUSTERS : 0;
        }
        ret[0] = to_be64(raw);
        ret[1] = to_be64(bitmap);
}

static bool qcow2_entry_changes(const Qcow2 *q, const be64 *at, const be64 *cleared)
{
        return from_be64(at[0]) != from_be64(cleared[0]) ||
               (q->extended && from_be64(at[1]) != from_be64(cleared[1]));
}

/* Gives the space of the stretch collected so far back to the host, which need not be able to. */
static int qcow2_punch(Node *n, Qcow2Clearing *c)
{
        const Qcow2 *q = n->state;
        int r = 0;

        if (c->done > c->punch && !q->cipher_store)
                r = store_punch(q->host_store, c->punch, c->done - c->punch);
        c->punch = c->done = 0;
        return r == -EOPNOTSUPP ? 0 : r;
}

static int qcow2_punch_more(Node *n, Qcow2Clearing *c, uint64_t pos)
{
        const Qcow2 *q = n->state;
        int r = 0;

        if (c->done != pos || c->done == c->punch) {
                r = qcow2_punch(n, c);
                c->punch = pos;
        }
        c->done = pos + q->cluster_size;
        return r;
}

/* Clears the entry for `cluster`. Wants the lock, and the slice in the list of those changed. */
static int qcow2_clear_entry(Node *n, Qcow2Clearing *c, uint64_t cluster, be64 *at)
{
        Qcow2 *q = n->state;
        uint64_t old = from_be64(at[0]), pos = 0;
        bool has_host = false;
        be64 cleared[2];
        int r = 0;

        qcow2_cleared_entry(q, c, at, cleared);
        if (!qcow2_entry_changes(q, at, cleared))
                return 0;
        if (!(old & QCOW2_ENTRY_COMPRESSED)) {
                r = qcow2_host_cluster(q, cluster, old, &pos, &has_host);
                if (r < 0)
                        return r;
                if (has_host && !qcow2_has_data_file(&q->header) && qcow2_guard_suspects(q, pos) &&
                    qcow2_guard_hits(q, pos))
                        return qcow2_mark_corrupt(n);
        }
        at[0] = cleared[0];
        if (q->extended)
                at[1] = cleared[1];
        qcow2_give_up(n, old);
        return has_host && (old & QCOW2_ENTRY_COPIED) ? qcow2_punch_more(n, c, pos) : 0;
}

/* Does any entry from c->off to `end` change? */
static bool qcow2_slice_changes(const Qcow2 *q,
                                const Qcow2Clearing *c,
                                uint64_t end,
                                const be64 *entry)
{
        size_t step = (size_t)1 << (q->entry_bits - 3);
        be64 cleared[2];

        for (uint64_t at = c->off; at < end; at += q->cluster_size, entry += step) {
                qcow2_cleared_entry(q, c, entry, cleared);
                if (qcow2_entry_changes(q, entry, cleared))
                        return true;
        }
        return false;
}

static int qcow2_clear_entries(
        Node *n, Qcow2Clearing *c, uint64_t end, const Qcow2Slice *slice, be64 *entry)
{
        Qcow2 *q = n->state;
        int r = 0;

        LOCKED(qcow2_slice_lock(q->writer, slice->pos))
        {
                while (c->off < end && r >= 0) {
                        r = qcow2_clear_entry(n, c, c->off, entry);
                        c->off += q->cluster_size;
                        entry += (size_t)1 << (q->entry_bits - 3);
                }
        }
        return r;
}

/* Clears what one slice of the table is for. */
static int qcow2_clear_slice(Node *n, Qcow2Clearing *c, uint64_t table)
{
        Qcow2 *q = n->state;
        Qcow2Writer *w = q->writer;
        uint64_t count = (uint64_t)q->slice_len >> q->entry_bits;
        uint64_t span = count << q->header.cluster_bits;
        uint64_t end = u64_min(c->end, round_down(c->off, span) + span);
        Qcow2Slice slice = { 0 };
        be64 *entry = NULL;

        int r = qcow2_get_table_slice(n, table, c->off, &slice, &entry);
        if (r < 0)
                return r;
        if (!qcow2_slice_changes(q, c, end, entry)) {
                cache_put(n->cache, slice.entry);
                c->off = end;
                return 0;
        }
        LOCKED(&w->lock)
        {
                r = qcow2_row_reserve(&w->freed, (size_t)count + 1);
                if (r < 0)
                        cache_put(n->cache, slice.entry);
                else
                        r = qcow2_slice_keep(n, &w->tables, slice.entry, slice.pos);
                if (r >= 0)
                        r = qcow2_clear_entries(n, c, end, &slice, entry);
        }
        int k = qcow2_punch(n, c);
        return r < 0 ? r : k;
}

/* Clears what the next slice, or absent table, is for. */
static int qcow2_clear_some(Node *n, Qcow2Clearing *c)
{
        Qcow2 *q = n->state;
        uint64_t index = c->off >> q->l1_bits, table = 0;

        if (qcow2_l1_get(q, index) == 0 && !c->below) {
                c->off = (index + 1) << q->l1_bits;
                return 0;
        }
        int r = qcow2_make_room(n);
        if (r < 0)
                return r;
        r = qcow2_own_table(n, c->off, &table);
        return r < 0 ? r : qcow2_clear_slice(n, c, table);
}

int qcow2_clear(Node *n, uint64_t off, uint64_t end, Qcow2Clear how)
{
        const Qcow2 *q = n->state;
        Qcow2Clearing c = {
                .how = how,
                .below = how == QCOW2_CLEAR_ALL && qcow2_has_below(n),
                .off = off,
        };
        int r = 0;

        c.end = u64_min(end, q->l1_count << q->l1_bits);
        while (c.off < c.end && r >= 0)
                r = qcow2_clear_some(n, &c);
        return r;
}

int qcow2_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        const Qcow2 *q = n->state;
        uint64_t first = round_up(off, q->cluster_size), end = off + len;
        /* Behind the end of the disk there is nothing to keep. */
        uint64_t last =
                end == n->size ? round_up(end, q->cluster_size) : round_down(end, q->cluster_size);

        /* Version 2 has no zero clusters: what is given back would show what is below. */
        if (first >= last || (q->header.version < 3 && qcow2_has_below(n))) {
                *ret_len = 0;
                return 0;
        }
        int r = qcow2_prepare(n);
        if (r < 0)
                return r;
        r = qcow2_is_raw_file(q) ? qcow2_raw_file_clear(n, first, u64_min(last, end) - first)
                                 : qcow2_clear(n, first, last, QCOW2_CLEAR_ALL);
        if (r < 0)
                return r;
        *ret_off = first;
        *ret_len = u64_min(last, end) - first;
        return 0;
}
