/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The block map, and the count of allocated blocks. A count that is too small would let a writer put a new block over one
 * that is there; one that is too large wastes the places that no entry leads to.
 */
#include "format/vdi/vdi.h"

#include "base/bits.h"
#include "block/flat-check.h"

#include <errno.h>
#include <inttypes.h>

static int vdi_check_look(FlatCheck *c, uint32_t allocated)
{
        CheckReport *report = c->report;

        int r = flat_check_look(c);
        if (r < 0)
                return r;
        report->image_end = c->flat->first_pos + c->place_end * c->flat->stride;
        if (allocated < c->place_end) {
                check_corruption(report,
                                 "ERROR the header counts %" PRIu32
                                 " allocated blocks, and one lies in place %" PRIu64,
                                 allocated, c->place_end - 1);
        } else if (allocated > c->used_count) {
                uint64_t leaks = allocated - c->used_count;
                check_leak(report,
                           "Leaked: the header counts %" PRIu32 " allocated blocks, and %" PRIu64
                           " of them are no block's",
                           allocated, leaks);
                report->leaks += leaks - 1;
        }
        return 0;
}

static int vdi_look_again(FlatCheck *c, uint32_t allocated)
{
        check_begin_again(c->report);
        int r = vdi_check_look(c, allocated);
        check_end_again(c->report);
        return r;
}

static int vdi_write_allocated(FlatCheck *c, uint32_t *allocated, uint64_t places)
{
        if (*allocated == places)
                return 0;
        int r = vdi_kind.write_count(c->node, places);
        if (r < 0)
                return err_set(&c->report->err, -r, "cannot write the header: %m");
        *allocated = (uint32_t)places;
        return flat_check_sync(c);
}

/* Never with a count that is less than a place in use. */
static int vdi_repair(FlatCheck *c, uint32_t *allocated)
{
        bool all = c->report->repair == CHECK_REPAIR_ALL;

        if (!all && c->report->corruptions > 0) {
                check_tell(c->report, "Leaks stay: what is damaged has to be repaired before");
                return 0;
        }
        int r = all ? vdi_write_allocated(c, allocated, u64_max(*allocated, c->flat->count)) : 0;
        if (r >= 0 && all)
                r = flat_check_mend(c, UINT64_MAX);
        if (r >= 0 && all)
                r = vdi_look_again(c, *allocated);
        /* As many blocks as there are fill the first places then. */
        if (r >= 0)
                r = flat_check_mend(c, c->used_count);
        if (r >= 0)
                r = vdi_look_again(c, *allocated);
        return r < 0 ? r : vdi_write_allocated(c, allocated, c->place_end);
}

int vdi_check(Node *n, CheckReport *report)
{
        Vdi *v = n->state;
        uint32_t allocated = v->allocated;
        _cleanup_flat_check_ FlatCheck c;

        int r = flat_check_begin(&c, n, &v->flat, report);
        if (r >= 0)
                r = vdi_check_look(&c, allocated);
        uint64_t corruptions = report->corruptions, leaks = report->leaks;
        if (r < 0 || report->repair == CHECK_LOOK || corruptions + leaks == 0)
                return r;
        r = vdi_repair(&c, &allocated);
        if (r >= 0)
                r = vdi_look_again(&c, allocated);
        report->corruptions_fixed = corruptions - u64_min(corruptions, report->corruptions);
        report->leaks_fixed = leaks - u64_min(leaks, report->leaks);
        return r;
}
