/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a check finds, extent by extent, and what it mends: only what takes no decision about data. The first table counts;
 * the redundant one becomes like it. Grains at the end of the file to which nothing refers are cut off.
 */
#include "format/vmdk/check/check.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Compressed grains know which they are. */
static int check_coded_grain(VmdkScan *s, uint64_t index, uint64_t entry)
{
        VmdkGrainKind kind = VMDK_GRAIN_NONE;
        uint64_t pos = 0, len = 0;

        if (vmdk_grain_find(s->x, entry, &kind, &pos) < 0 || kind != VMDK_GRAIN_PLACE ||
            pos >= vmdk_end(s->x))
                return 0;
        int r = vmdk_coded_len(s->x, index, pos, &len);
        if (r < 0 && r != -EIO)
                return r;
        s->report->compressed_clusters++;
        if (r >= 0 && in_range(pos, len, vmdk_end(s->x))) {
                s->used_end = u64_max(s->used_end, pos + len);
                return 0;
        }
        return vmdk_found(s, "grain %" PRIu64 " at 0x%" PRIx64 " is not the one that lies there",
                          index, pos);
}

/* Both copies of a table, read past the cache: what they are in the file. */
static int check_copy(VmdkScan *s, uint64_t index, uint64_t pos, uint64_t copy_pos)
{
        size_t len = (size_t)vmdk_table_len(s->x);
        _cleanup_free_ uint8_t *both = malloc(2 * len);

        if (copy_pos == 0)
                return 0;
        if (!both)
                return -ENOMEM;
        int r = store_read_padded(s->x->store, both, len, pos);
        if (r >= 0)
                r = store_read_padded(s->x->store, both + len, len, copy_pos);
        if (r < 0 || memcmp(both, both + len, len) == 0)
                return r;
        check_leak(s->report, "Leaked: redundant grain table %" PRIu64 " differs from the first",
                   index);
        if (s->report->repair == CHECK_LOOK || s->report->corruptions > 0)
                return 0;
        r = store_write(s->x->store, both, len, copy_pos);
        if (r < 0)
                return r;
        s->report->leaks--;
        s->report->leaks_fixed++;
        return 0;
}

/* Whole grains behind all that is used. */
static int check_cut(VmdkScan *s, VmdkExtent *x)
{
        uint64_t end = vmdk_end(x);
        uint64_t keep = u64_max(round_up(s->used_end, VMDK_SECTOR), x->overhead);
        uint64_t grains = end > keep ? (end - keep) / x->grain : 0;

        if (s->report->repair == CHECK_LOOK || s->report->corruptions > 0 || grains == 0 ||
            s->report->leaks < grains)
                return 0;
        int r = store_set_size(x->store, keep);
        if (r < 0)
                return r == -EOPNOTSUPP ? 0 : r;
        atomic_store(&x->end, keep);
        s->report->leaks -= grains;
        s->report->leaks_fixed += grains;
        return 0;
}

static int check_sparse(Node *n, VmdkExtent *x, CheckReport *report)
{
        static const VmdkVisitor coded = { .grain = check_coded_grain };
        static const VmdkVisitor copies = { .table = check_copy };
        VmdkScan s = { .n = n, .x = x, .report = report, .steps = report };

        report->total_clusters += div_round_up(x->len, x->grain);
        int r = vmdk_scan(&s);
        s.walk = VMDK_CHECK_WALKS - 1;
        if (r >= 0 && x->coded)
                r = vmdk_walk(&s, &coded);
        else if (r >= 0)
                r = vmdk_walk(&s, &copies);
        if (r >= 0 && x->kind == VMDK_HOSTED && !x->coded)
                r = check_cut(&s, x);
        report->image_end = u64_max(report->image_end, s.used_end);
        return r;
}

static int check_flat(const Vmdk *v, const VmdkExtent *x, CheckReport *report)
{
        if (!in_range(x->pos, x->len, vmdk_end(x)))
                check_corruption(report, "ERROR extent %zu: its file was cut off",
                                 (size_t)(x - v->extents) + 1);
        report->image_end = u64_max(report->image_end, x->pos + x->len);
        return 0;
}

int vmdk_check(Node *n, CheckReport *report)
{
        Vmdk *v = n->state;
        int r = 0;

        check_begin_pass(report, "checking", v->extent_count * VMDK_CHECK_WALKS * VMDK_CHECK_STEPS);
        for (size_t i = 0; r >= 0 && i < v->extent_count; i++) {
                VmdkExtent *x = &v->extents[i];
                if (x->kind == VMDK_ZERO || x->access == VMDK_NOACCESS)
                        continue;
                if (!x->store)
                        return err_set(&report->err, EACCES,
                                       "extent %zu was not opened, so it cannot be checked", i + 1);
                check_begin_part(report, i * VMDK_CHECK_WALKS * VMDK_CHECK_STEPS);
                r = vmdk_is_sparse(x) ? check_sparse(n, x, report) : check_flat(v, x, report);
        }
        if (r >= 0 && report->repair != CHECK_LOOK)
                r = node_sync(n);
        return r;
}
