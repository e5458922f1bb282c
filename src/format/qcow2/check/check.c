/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares refcounts with references, and COPIED bits with refcounts. */
#include "format/qcow2/check/check.h"

#include "base/bits.h"
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define _cleanup_check_ __attribute__((cleanup(qcow2_check_done)))

/* The lowest cluster from `from` on that has a refcount block and can be in the file. */
static uint64_t qcow2_check_next_block(const Qcow2Check *c, uint64_t from)
{
        for (uint64_t i = from / c->block_count; i < c->table_count; i++)
                if (from_be64(c->table[i]) != 0)
                        return u64_max(from, i * c->block_count);
        return UINT64_MAX;
}

/* In each window all tables are walked over, and then the active ones once more. */
static uint64_t qcow2_check_steps(const Qcow2Check *c)
{
        const Qcow2Header *h = &c->q->header;

        return (uint64_t)h->l1_count * (2 + (uint64_t)h->snapshot_count) + 1;
}

int qcow2_check_windows(Qcow2Check *c, int (*then)(Qcow2Check *c))
{
        uint64_t windows = 0;

        check_begin_pass(c->report, c->out == c->report ? "checking" : "repairing",
                         (c->cluster_count / c->window + 1) * qcow2_check_steps(c));
        c->work_left = LIMIT_CHECK_ENTRIES;
        c->found = c->report->corruptions + c->report->leaks + c->mute.corruptions;
        for (c->first = 0; c->first <= c->cluster_count;) {
                if (windows++ == LIMIT_CHECK_WINDOWS)
                        return err_set(&c->report->err, EFBIG,
                                       "the file is used in more than %d places far from each "
                                       "other, which is the limit",
                                       LIMIT_CHECK_WINDOWS);
                c->next = UINT64_MAX;
                c->walked = 0;
                check_begin_part(c->report, c->first / c->window * qcow2_check_steps(c));
                memset(c->counts, 0, c->window * sizeof(*c->counts));
                int r = qcow2_check_count(c);
                if (r < 0)
                        return r;
                r = then(c);
                if (r < 0)
                        return r;
                c->out = &c->mute;
                uint64_t next = qcow2_check_next_block(c, c->first + c->window);
                /* The window is a power of two, so that it ends where a block or a part of one ends. */
                c->first = round_down(u64_min(next, c->next), c->window);
        }
        return 0;
}

/* The refcount block for the refcounts from index * block_count on: false when there is none that can be used. */
static bool qcow2_check_block(const Qcow2Check *c, uint64_t index, uint64_t *ret)
{
        if (index >= c->table_count)
                return false;
        uint64_t pos = round_down(from_be64(c->table[index]), QCOW2_SECTOR);
        if (pos == 0 || pos >= c->file_size || !is_aligned(pos, c->q->cluster_size))
                return false;
        *ret = pos;
        return true;
}

/* Narrow refcounts lie in a byte from its lowest bit on. */
static uint64_t qcow2_refcount_get(const uint8_t *bytes, uint32_t order, uint64_t i)
{
        uint64_t value = 0;

        if (order < 3)
                return bytes[i << order >> 3] >> (i << order & 7) & ((1u << (1u << order)) - 1);
        for (uint64_t k = 0; k < UINT64_C(1) << (order - 3); k++)
                value = value << 8 | bytes[(i << (order - 3)) + k];
        return value;
}

static void qcow2_refcount_set(uint8_t *bytes, uint32_t order, uint64_t i, uint64_t value)
{
        if (order < 3) {
                unsigned shift = i << order & 7;
                unsigned mask = ((1u << (1u << order)) - 1) << shift;
                uint8_t *byte = &bytes[i << order >> 3];
                *byte = (uint8_t)((*byte & ~mask) | ((unsigned)value << shift & mask));
                return;
        }
        for (uint64_t k = UINT64_C(1) << (order - 3); k-- > 0; value >>= 8)
                bytes[(i << (order - 3)) + k] = (uint8_t)value;
}

/* The clusters [k, k + count), whose refcounts lie at `pos` of the file. */
static int qcow2_check_piece(Qcow2Check *c,
                             uint64_t pos,
                             uint64_t k,
                             uint64_t count,
                             int (*each)(Qcow2Check *c, uint64_t cluster, uint64_t *refcount))
{
        uint32_t order = c->q->header.refcount_order;
        size_t len = (size_t)div_round_up(count << order, 8);
        bool changed = false;

        int r = store_read_padded(c->n->store, c->block_piece, len, pos);
        if (r < 0)
                return err_set(&c->report->err, -r,
                               "cannot read the refcount block at %" PRIu64 ": %m", pos);
        for (uint64_t i = 0; i < count; i++) {
                uint64_t old = qcow2_refcount_get(c->block_piece, order, i);
                uint64_t refcount = old;
                /* Most of a large file is alike: nothing there, nothing said of it. */
                if (refcount == 0 && c->counts[k + i - c->first] == 0)
                        continue;
                r = each(c, k + i, &refcount);
                if (r < 0)
                        return r;
                if (refcount != old) {
                        qcow2_refcount_set(c->block_piece, order, i, refcount);
                        changed = true;
                }
        }
        if (!changed)
                return 0;
        r = store_write(c->n->store, c->block_piece, len, pos);
        return r < 0 ? err_set(&c->report->err, -r,
                               "cannot write the refcount block at %" PRIu64 ": %m", pos)
                     : 0;
}

static int qcow2_check_absent(Qcow2Check *c,
                              uint64_t k,
                              uint64_t count,
                              int (*each)(Qcow2Check *c, uint64_t cluster, uint64_t *refcount))
{
        for (uint64_t i = k; i < k + count; i++) {
                uint64_t refcount = 0;
                int r = c->counts[i - c->first] == 0 ? 0 : each(c, i, &refcount);
                if (r < 0)
                        return r;
        }
        return 0;
}

int qcow2_check_refcounts(Qcow2Check *c,
                          int (*each)(Qcow2Check *c, uint64_t cluster, uint64_t *refcount))
{
        uint32_t order = c->q->header.refcount_order;
        uint64_t at_once = (uint64_t)QCOW2_CHECK_PIECE * 8 >> order;
        /* A table at the end of the file may reach into one cluster more. */
        uint64_t end = u64_min(c->first + c->window, c->cluster_count + 1);

        for (uint64_t k = c->first; k < end;) {
                uint64_t index = k / c->block_count, in_block = k % c->block_count, block;
                uint64_t count = u64_min(c->block_count - in_block, end - k);
                int r;
                if (qcow2_check_block(c, index, &block)) {
                        count = u64_min(count, at_once);
                        r = qcow2_check_piece(c, block + (in_block << order >> 3), k, count, each);
                } else {
                        r = qcow2_check_absent(c, k, count, each);
                }
                if (r >= 0)
                        r = qcow2_check_work(c, count);
                if (r < 0)
                        return r;
                k += count;
        }
        return 0;
}

static int qcow2_compare(Qcow2Check *c, uint64_t k, uint64_t *refcount)
{
        uint64_t count = c->counts[k - c->first], block;

        /* A refcount for what is behind the end of the file says nothing: nothing can be lost or wasted there. */
        if (k >= c->cluster_count && count == 0)
                return 0;
        c->end_cluster = u64_max(c->end_cluster, k + 1);
        if (*refcount < count) {
                c->shortages++;
                check_corruption(c->report,
                                 "ERROR cluster %" PRIu64 " refcount=%" PRIu64
                                 " reference=%" PRIu64,
                                 k, *refcount, count);
                if (!qcow2_check_block(c, k / c->block_count, &block))
                        c->needs_rebuild = true;
        } else if (*refcount > count) {
                check_leak(c->report,
                           "Leaked cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, k,
                           *refcount, count);
        }
        return 0;
}

static int qcow2_keep_refcount(Qcow2Check *c, uint64_t k, uint64_t *refcount)
{
        uint32_t *count = &c->counts[k - c->first];

        *count = (*count & QCOW2_COUNT_LOWERED) | (uint32_t)u64_min(*refcount, QCOW2_COUNT_MAX);
        return 0;
}

/* Turns the counts of the window into the refcounts that are in the file. */
static int qcow2_check_load(Qcow2Check *c)
{
        return qcow2_check_refcounts(c, qcow2_keep_refcount);
}

/* Of a cluster past the end of the file; there may be one, though nothing there can be used. */
static int qcow2_far_refcount(Qcow2Check *c, uint64_t k, uint64_t *ret)
{
        uint32_t order = c->q->header.refcount_order;
        uint64_t index = k % c->block_count, block;
        uint8_t bytes[sizeof(uint64_t)];

        *ret = 0;
        int r = qcow2_check_work(c, QCOW2_CHECK_PIECE);
        if (r < 0 || !qcow2_check_block(c, k / c->block_count, &block))
                return r;
        /* A byte of narrow refcounts, or one of the wide ones. */
        uint64_t in_byte = order < 3 ? index % (8u >> order) : 0;
        r = store_read_padded(c->n->store, bytes, order < 3 ? 1 : 1u << (order - 3),
                              block + (index << order >> 3));
        if (r < 0)
                return err_set(&c->report->err, -r,
                               "cannot read the refcount block at %" PRIu64 ": %m", block);
        *ret = qcow2_refcount_get(bytes, order, in_byte);
        return 0;
}

int qcow2_check_refcount_at(Qcow2Check *c, uint64_t pos, uint64_t *ret)
{
        uint64_t k = pos >> c->q->header.cluster_bits;

        if (k >= c->cluster_count) {
                int r = c->first == 0 ? qcow2_far_refcount(c, k, ret) : 0;
                return r < 0 ? r : c->first == 0;
        }
        if (k < c->first || k - c->first >= c->window)
                return 0;
        *ret = c->counts[k - c->first];
        return 1;
}

/* Public specification, "Standard Cluster Descriptor" and "L1 table entry": the bit says that the refcount is 1. */
static void qcow2_check_copied(Qcow2Check *c,
                               const Qcow2Slot *slot,
                               const char *what,
                               uint64_t refcount)
{
        if ((refcount == 1) == !!(slot->entry & QCOW2_ENTRY_COPIED))
                return;
        check_corruption(c->report,
                         "ERROR %s entry at 0x%" PRIx64 " (0x%" PRIx64
                         "): the COPIED bit, with a refcount of %" PRIu64,
                         what, slot->pos, slot->entry, refcount);
}

static int qcow2_copied_place(Qcow2Check *c, const Qcow2Slot *slot, const char *what)
{
        uint64_t pos = slot->entry & QCOW2_ENTRY_POS, refcount;

        if (pos == 0)
                return 0;
        int r = qcow2_check_refcount_at(c, pos, &refcount);
        if (r > 0)
                qcow2_check_copied(c, slot, what, refcount);
        return r;
}

static int qcow2_copied_table(Qcow2Check *c, const Qcow2Slot *slot)
{
        return qcow2_copied_place(c, slot, "L1");
}

static int qcow2_copied_cluster(Qcow2Check *c, const Qcow2Slot *slot)
{
        if (slot->entry & QCOW2_ENTRY_COMPRESSED)
                return 0;
        if (!qcow2_has_data_file(&c->q->header))
                return qcow2_copied_place(c, slot, "L2");
        /* In a data file nothing is ever shared. */
        if (c->first == 0 && (slot->entry & QCOW2_ENTRY_POS) != 0)
                qcow2_check_copied(c, slot, "L2", 1);
        return 0;
}

int qcow2_check_walk_active(Qcow2Check *c, const Qcow2Visitor *visitor)
{
        int r = qcow2_check_load(c);
        if (r < 0)
                return r;
        return qcow2_check_walk(c, c->q->header.l1_pos, c->q->header.l1_count, true, visitor);
}

static int qcow2_look_at_window(Qcow2Check *c)
{
        static const Qcow2Visitor visitor = {
                .table = qcow2_copied_table,
                .cluster = qcow2_copied_cluster,
        };

        int r = qcow2_check_refcounts(c, qcow2_compare);
        return r < 0 ? r : qcow2_check_walk_active(c, &visitor);
}

int qcow2_check_look(Qcow2Check *c)
{
        c->end_cluster = c->shortages = 0;
        c->has_far = c->is_blind = c->needs_rebuild = c->has_bad_zeroes = false;
        c->out = c->each_out = c->report;
        int r = qcow2_check_windows(c, qcow2_look_at_window);
        c->out = c->each_out = &c->mute;
        if (r < 0)
                return r;
        c->report->image_end = c->end_cluster << c->q->header.cluster_bits;
        c->report->total_clusters = div_round_up(c->n->size, c->q->cluster_size);
        return 0;
}

int qcow2_check(Node *n, CheckReport *report)
{
        _cleanup_check_ Qcow2Check c;

        int r = qcow2_check_begin(&c, n, report);
        if (r < 0)
                return r;
        r = qcow2_check_look(&c);
        if (r < 0 || report->repair == CHECK_LOOK)
                return r;
        return qcow2_check_repair(&c);
}
