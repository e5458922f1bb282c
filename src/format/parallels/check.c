/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mark of an image in use, the header, the BAT, and what the file is longer than. Repair goes in the same order; the
 * mark goes last, so that whatever instant it ends at, it can be done again.
 */
#include "format/parallels/parallels.h"

#include "base/bits.h"
#include "block/flat-check.h"

#include <errno.h>
#include <inttypes.h>

/* Is all of the file known to us? */
static bool parallels_knows_all(const Parallels *p)
{
        return p->ext_pos == 0;
}

static void parallels_look_at_end(FlatCheck *c)
{
        const Parallels *p = c->node->state;
        CheckReport *report = c->report;

        report->image_end = c->flat->first_pos + c->place_end * c->flat->stride;
        if (!parallels_knows_all(p) || c->file_size <= report->image_end)
                return;
        uint64_t leaks = div_round_up(c->file_size - report->image_end, c->flat->stride);
        check_leak(report,
                   "Leaked: the file has %" PRIu64 " bytes, and %" PRIu64 " of them are in use",
                   c->file_size, report->image_end);
        report->leaks += leaks - 1;
}

static int parallels_look(FlatCheck *c)
{
        const Parallels *p = c->node->state;
        CheckReport *report = c->report;
        Err err = { "" };

        /* That alone has not lost anything. */
        if (p->is_in_use)
                check_tell(report, "The image is in use, or was not closed cleanly");
        if (p->data_off_is_bad)
                check_corruption(report,
                                 "ERROR data_off %" PRIu32
                                 " lies within the BAT or past the end of the file",
                                 p->data_off);
        if (parallels_extension_read(c->node, &err) < 0)
                check_corruption(report, "ERROR %s", err.text);
        int r = flat_check_look(c);
        if (r < 0)
                return r;
        if (p->ext_pos != 0 && !flat_check_is_free(c, p->ext_pos, c->flat->stride))
                check_corruption(report, "ERROR an entry of the BAT leads to the format extension");
        parallels_look_at_end(c);
        return 0;
}

static int parallels_look_again(FlatCheck *c)
{
        check_begin_again(c->report);
        int r = parallels_look(c);
        check_end_again(c->report);
        return r;
}

static int parallels_cut_end(FlatCheck *c)
{
        uint64_t end = c->report->image_end;

        if (c->report->leaks == 0)
                return 0;
        int r = store_set_size(c->node->store, end);
        if (r == -EOPNOTSUPP)
                return 0;
        return r < 0 ? err_set(&c->report->err, -r, "cannot cut the file to %" PRIu64 " bytes: %m",
                               end)
                     : flat_check_sync(c);
}

static int parallels_mend_mark(FlatCheck *c, uint32_t mark)
{
        int r = parallels_write_mark(c->node, mark);
        return r < 0 ? err_set(&c->report->err, -r, "cannot write the header: %m")
                     : flat_check_sync(c);
}

/* Where the data begins: old software counts on 0 for "behind the BAT", the new kind has to say it. */
static int parallels_mend_header(FlatCheck *c)
{
        Parallels *p = c->node->state;

        uint64_t start = p->data_sector * PARALLELS_SECTOR;
        if (!p->data_off_is_bad)
                return 0;
        /* The file has to reach there; but entries of the BAT that are lost are not to become empty ones. */
        if (c->file_size < start) {
                int r = c->has_missing ? -EOPNOTSUPP : store_set_size(c->node->store, start);
                if (r == -EOPNOTSUPP)
                        return 0;
                if (r < 0)
                        return err_set(&c->report->err, -r, "cannot make the file longer: %m");
        }
        p->data_off = p->counts_clusters ? (uint32_t)p->data_sector : 0;
        int r = parallels_mend_mark(c, p->is_in_use ? PARALLELS_IN_USE : PARALLELS_CLOSED);
        p->data_off_is_bad = r < 0;
        return r;
}

static int parallels_mend_all(FlatCheck *c)
{
        Parallels *p = c->node->state;

        int r = parallels_mend_header(c);
        if (!parallels_knows_all(p))
                flat_check_append_only(c);
        if (r >= 0)
                r = flat_check_mend(c, UINT64_MAX);
        if (r >= 0)
                r = parallels_look_again(c);
        if (r >= 0)
                r = parallels_cut_end(c);
        if (r < 0 || !p->is_in_use)
                return r;
        r = parallels_look_again(c);
        if (r < 0 || c->report->corruptions > 0)
                return r;
        r = parallels_mend_mark(c, PARALLELS_CLOSED);
        p->is_in_use = r < 0;
        return r;
}

static int parallels_repair(FlatCheck *c)
{
        const Parallels *p = c->node->state;
        CheckReport *report = c->report;

        if (p->refusal[0] != '\0') {
                check_tell(report, "Nothing is repaired: %s", p->refusal);
                return 0;
        }
        if (report->repair == CHECK_REPAIR_ALL)
                return parallels_mend_all(c);
        if (report->corruptions > 0) {
                check_tell(report, "Leaks stay: what is damaged has to be repaired before");
                return 0;
        }
        return parallels_cut_end(c);
}

int parallels_check(Node *n, CheckReport *report)
{
        Parallels *p = n->state;
        _cleanup_flat_check_ FlatCheck c;

        int r = flat_check_begin(&c, n, &p->flat, report);
        if (r >= 0)
                r = parallels_look(&c);
        uint64_t corruptions = report->corruptions, leaks = report->leaks;
        bool is_well = corruptions + leaks == 0 && !p->is_in_use;
        if (r < 0 || report->repair == CHECK_LOOK || is_well)
                return r;
        r = parallels_repair(&c);
        if (r >= 0)
                r = parallels_look_again(&c);
        report->corruptions_fixed = corruptions - u64_min(corruptions, report->corruptions);
        report->leaks_fixed = leaks - u64_min(leaks, report->leaks);
        return r;
}

int parallels_repair_unclean(Node *n, Err *err)
{
        CheckReport report = check_report_of(n, CHECK_REPAIR_ALL);

        int r = parallels_check(n, &report);
        if (r < 0)
                return err_set(err, -r,
                               "the image was not closed cleanly, and cannot be repaired: %s",
                               report.err.text);
        return check_refuse_unclean(&report, err);
}
