/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Repair. The tables that map the disk are believed, the refcounts follow them. Whatever instant it ends at, no data is
 * lost and another repair can go on: refcounts are raised first, lowered after a sync, COPIED bits are set only where
 * a refcount of 1 is on the disk, and a new refcount table is complete before the header names it.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "format/qcow2/check/check.h"

#include <errno.h>
#include <stdlib.h>

#define _cleanup_check_ _cleanup_(qcow2_check_done)

enum {
        QCOW2_TABLE_COUNT_MAX = QCOW2_REFCOUNT_TABLE_LEN_MAX / sizeof(be64),
};

/* Changed together, so written together. */
typedef struct Qcow2DiskTablePlace {
        be64 offset;
        be32 clusters;
} Qcow2DiskTablePlace;
_Static_assert(sizeof(Qcow2DiskTablePlace) == 12, "refcount table's place in the header");

static int qcow2_repair_sync(Qcow2Check *c)
{
        int r = node_sync(c->n);
        return r < 0 ? err_set(&c->report->err, -r, "cannot sync the image: %m") : 0;
}

static int qcow2_repair_write(
        Qcow2Check *c, const void *buf, size_t len, uint64_t pos, const char *what)
{
        int r = store_write(c->n->store, buf, len, pos);
        return r < 0 ? err_set(&c->report->err, -r, "cannot write %s: %m", what) : 0;
}

static int qcow2_raise_refcount(Qcow2Check *c, uint64_t k, uint64_t *refcount)
{
        uint32_t order = c->q->header.refcount_order;
        uint64_t max =
                order == QCOW2_REFCOUNT_ORDER_MAX ? INT64_MAX : (UINT64_C(1) << (1u << order)) - 1;

        *refcount = u64_max(*refcount, u64_min(c->counts[k - c->first], max));
        return 0;
}

static int qcow2_lower_refcount(Qcow2Check *c, uint64_t k, uint64_t *refcount)
{
        uint32_t *count = &c->counts[k - c->first];

        if (*refcount > *count && !c->is_blind) {
                *refcount = *count;
                *count |= QCOW2_COUNT_LOWERED;
        }
        return 0;
}

static int qcow2_raise_window(Qcow2Check *c)
{
        return qcow2_check_refcounts(c, qcow2_raise_refcount);
}

static int qcow2_set_copied(Qcow2Check *c, const Qcow2Slot *slot, bool copied)
{
        if (copied == !!(slot->entry & QCOW2_ENTRY_COPIED))
                return 0;
        be64 entry = to_be64(slot->entry ^ QCOW2_ENTRY_COPIED);
        return qcow2_repair_write(c, &entry, sizeof(entry), slot->pos, "an L1 or L2 entry");
}

/* Makes the COPIED bit say what the refcount on the disk is. When only leaks are to be repaired, only the bits whose
 * refcounts were lowered for that: elsewhere a wrong bit is a corruption. */
static int qcow2_repair_copied(Qcow2Check *c, const Qcow2Slot *slot)
{
        uint64_t refcount;

        int r = qcow2_check_refcount_at(c, slot->entry & QCOW2_ENTRY_POS, &refcount);
        if (r <= 0)
                return r;
        if (c->report->repair != CHECK_REPAIR_ALL && !(refcount & QCOW2_COUNT_LOWERED))
                return 0;
        return qcow2_set_copied(c, slot, (refcount & ~(uint64_t)QCOW2_COUNT_LOWERED) == 1);
}

static int qcow2_repair_table(Qcow2Check *c, const Qcow2Slot *slot)
{
        return (slot->entry & QCOW2_ENTRY_POS) == 0 ? 0 : qcow2_repair_copied(c, slot);
}

static int qcow2_repair_cluster(Qcow2Check *c, const Qcow2Slot *slot)
{
        bool all = c->report->repair == CHECK_REPAIR_ALL;

        if (slot->entry & QCOW2_ENTRY_COMPRESSED)
                return all ? qcow2_set_copied(c, slot, false) : 0;
        if ((slot->entry & QCOW2_ENTRY_POS) == 0)
                return 0;
        /* In a data file nothing is ever shared. */
        if (qcow2_has_data_file(&c->q->header))
                return all ? qcow2_set_copied(c, slot, true) : 0;
        return qcow2_repair_copied(c, slot);
}

static int qcow2_lower_window(Qcow2Check *c)
{
        static const Qcow2Visitor visitor = {
                .table = qcow2_repair_table,
                .cluster = qcow2_repair_cluster,
        };

        int r = qcow2_check_refcounts(c, qcow2_lower_refcount);
        if (r < 0)
                return r;
        r = qcow2_repair_sync(c);
        return r < 0 ? r : qcow2_check_walk_active(c, &visitor);
}

/* Zero clusters at impossible places read the same without a place. What they referred to has fewer references then. */
static int qcow2_repair_zeroes(Qcow2Check *c)
{
        c->work_left = LIMIT_CHECK_ENTRIES;
        c->found = c->report->corruptions + c->report->leaks + c->mute.corruptions;
        c->fix_zeroes = true;
        c->first = 0;
        int r = qcow2_check_count(c);
        c->fix_zeroes = false;
        return r < 0 ? r : qcow2_repair_sync(c);
}

/* Marks the blocks that a new refcount table needs for this window. */
static int qcow2_mark_window(Qcow2Check *c)
{
        for (uint64_t k = 0; k < c->window; k++) {
                if (c->counts[k] == 0)
                        continue;
                uint64_t index = (c->first + k) / c->block_count;
                if (index >= QCOW2_TABLE_COUNT_MAX)
                        return err_set(&c->report->err, EFBIG,
                                       "the file is too long for a refcount table");
                c->fresh[index] = to_be64(1);
        }
        return 0;
}

/* Where a new refcount table and its blocks lie, in clusters. */
typedef struct Qcow2Area {
        uint64_t first;
        uint64_t table_clusters;
        uint64_t blocks;
        uint64_t entries;
} Qcow2Area;

/* The area describes itself too, so its size is looked for until it stays. */
static int qcow2_plan_area(Qcow2Check *c, uint64_t first, Qcow2Area *ret)
{
        Qcow2Area a = { .first = first }, before;

        do {
                before = a;
                uint64_t end = first + a.table_clusters + a.blocks;
                a.entries = div_round_up(u64_max(end, first + 1), c->block_count);
                if (a.entries > QCOW2_TABLE_COUNT_MAX)
                        return err_set(&c->report->err, EFBIG,
                                       "the file is too long for a refcount table");
                a.table_clusters = div_round_up(a.entries * sizeof(be64), c->q->cluster_size);
                a.blocks = 0;
                for (uint64_t i = 0; i < a.entries; i++)
                        a.blocks += i >= first / c->block_count || from_be64(c->fresh[i]) != 0;
        } while (a.table_clusters != before.table_clusters || a.blocks != before.blocks);
        *ret = a;
        return 0;
}

/* Behind the end of the file. A block device has no room there: behind all that is in use. */
static int qcow2_make_area(Qcow2Check *c, Qcow2Area *ret)
{
        uint32_t bits = c->q->header.cluster_bits;
        Qcow2Area a = { 0 };

        int r = qcow2_plan_area(c, c->cluster_count, &a);
        if (r < 0)
                return r;
        r = store_set_size(c->n->store, (a.first + a.table_clusters + a.blocks) << bits);
        if (r == -EOPNOTSUPP) {
                r = qcow2_plan_area(c, c->end_cluster, &a);
                if (r < 0)
                        return r;
                r = a.first + a.table_clusters + a.blocks <= c->file_size >> bits ? 0 : -ENOSPC;
        }
        if (r >= 0)
                r = store_zero(c->n->store, a.first << bits, (a.table_clusters + a.blocks) << bits);
        if (r < 0)
                return err_set(&c->report->err, -r, "no room for a new refcount table: %m");
        *ret = a;
        return 0;
}

/* From now on the new table is what refcounts are written to; the header still names the old one. */
static int qcow2_take_area(Qcow2Check *c, const Qcow2Area *a)
{
        uint64_t next = a->first + a->table_clusters;

        for (uint64_t i = 0; i < QCOW2_TABLE_COUNT_MAX; i++) {
                bool is = i < a->entries &&
                          (i >= a->first / c->block_count || from_be64(c->fresh[i]) != 0);
                c->fresh[i] = to_be64(is ? next++ << c->q->header.cluster_bits : 0);
        }
        free(c->table);
        c->table = TAKE(c->fresh);
        c->table_pos = a->first << c->q->header.cluster_bits;
        c->table_clusters = a->table_clusters;
        c->table_count = (a->table_clusters << c->q->header.cluster_bits) / sizeof(be64);
        return qcow2_check_measure(c);
}

static int qcow2_name_table(Qcow2Check *c)
{
        Qcow2DiskTablePlace place = {
                .offset = to_be64(c->table_pos),
                .clusters = to_be32((uint32_t)c->table_clusters),
        };

        int r = qcow2_repair_write(c, c->table, c->table_count * sizeof(be64), c->table_pos,
                                   "the refcount table");
        if (r < 0)
                return r;
        r = qcow2_repair_sync(c);
        if (r < 0)
                return r;
        r = qcow2_repair_write(c, &place, sizeof(place),
                               offsetof(Qcow2DiskHeader, refcount_table_offset), "the header");
        if (r < 0)
                return r;
        c->q->header.refcount_table_pos = c->table_pos;
        c->q->header.refcount_table_clusters = c->table_clusters;
        return qcow2_repair_sync(c);
}

/* A new refcount table with new blocks; the old ones are free space then. */
static int qcow2_rebuild(Qcow2Check *c)
{
        Qcow2Area area = { 0 };

        c->fresh = calloc(QCOW2_TABLE_COUNT_MAX, sizeof(*c->fresh));
        if (!c->fresh)
                return err_set(&c->report->err, ENOMEM, "%m");
        c->omit_refcounts = true;
        int r = qcow2_check_windows(c, qcow2_mark_window);
        c->omit_refcounts = false;
        if (r < 0)
                return r;
        r = qcow2_make_area(c, &area);
        if (r < 0)
                return r;
        r = qcow2_take_area(c, &area);
        if (r < 0)
                return r;
        r = qcow2_check_windows(c, qcow2_raise_window);
        if (r < 0)
                return r;
        return qcow2_name_table(c);
}

static int qcow2_look_again(Qcow2Check *c)
{
        check_begin_again(c->report);
        int r = qcow2_check_look(c);
        check_end_again(c->report);
        return r;
}

static int qcow2_repair_all(Qcow2Check *c)
{
        int r = 0;

        if (c->has_bad_zeroes) {
                r = qcow2_repair_zeroes(c);
                if (r >= 0)
                        r = qcow2_look_again(c);
                if (r < 0)
                        return r;
        }
        if (c->is_blind)
                check_tell(c->report, "Leaks stay: what looks leaked may belong to what cannot be "
                                      "read");
        if (c->needs_rebuild && (c->has_far || c->is_blind)) {
                check_tell(c->report, "The refcount table cannot be made anew: %s",
                           c->has_far ? "it would lie where entries point that reach past the "
                                        "end of the file"
                                      : "not all that is in use can be read");
                return 0;
        }
        if (c->needs_rebuild) {
                r = qcow2_rebuild(c);
        } else if (c->shortages > 0) {
                r = qcow2_check_windows(c, qcow2_raise_window);
                if (r >= 0)
                        r = qcow2_repair_sync(c);
        }
        if (r < 0 || c->report->leaks + c->report->corruptions == 0)
                return r;
        r = qcow2_check_windows(c, qcow2_lower_window);
        return r < 0 ? r : qcow2_repair_sync(c);
}

static int qcow2_repair_leaks(Qcow2Check *c)
{
        if (c->report->leaks == 0)
                return 0;
        if (c->needs_rebuild || c->is_blind) {
                check_tell(c->report, "Leaks stay: %s",
                           c->is_blind ? "what looks leaked may belong to what cannot be read"
                                       : "the refcount table itself has to be repaired before");
                return 0;
        }
        int r = qcow2_check_windows(c, qcow2_lower_window);
        return r < 0 ? r : qcow2_repair_sync(c);
}

/* An image without errors is neither dirty nor corrupt. */
static int qcow2_clear_flags(Qcow2Check *c)
{
        Qcow2Header *h = &c->q->header;
        uint64_t features =
                h->incompatible & ~(QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT);
        be64 disk = to_be64(features);

        if (c->report->corruptions > 0 || features == h->incompatible)
                return 0;
        int r = qcow2_repair_sync(c);
        if (r < 0)
                return r;
        r = qcow2_repair_write(c, &disk, sizeof(disk),
                               offsetof(Qcow2DiskHeader, incompatible_features), "the header");
        if (r < 0)
                return r;
        h->incompatible = features;
        return qcow2_repair_sync(c);
}

int qcow2_check_repair(Qcow2Check *c)
{
        uint64_t corruptions = c->report->corruptions, leaks = c->report->leaks;

        if (corruptions + leaks > 0) {
                int r = c->report->repair == CHECK_REPAIR_ALL ? qcow2_repair_all(c)
                                                              : qcow2_repair_leaks(c);
                if (r < 0)
                        return r;
                r = qcow2_look_again(c);
                if (r < 0)
                        return r;
        }
        CheckReport *report = c->report;
        report->corruptions_fixed = corruptions - u64_min(corruptions, report->corruptions);
        report->leaks_fixed = leaks - u64_min(leaks, report->leaks);
        return qcow2_clear_flags(c);
}

int qcow2_repair_dirty(Node *n, Err *err)
{
        CheckReport report = check_report_of(n, CHECK_REPAIR_ALL);
        _cleanup_check_ Qcow2Check c;

        int r = qcow2_check_begin(&c, n, &report);
        if (r >= 0)
                r = qcow2_check_look(&c);
        if (r >= 0)
                r = qcow2_check_repair(&c);
        if (r < 0)
                return err_set(err, -r,
                               "the image was not closed cleanly, and cannot be repaired: %s",
                               report.err.text);
        return check_refuse_unclean(&report, err);
}
