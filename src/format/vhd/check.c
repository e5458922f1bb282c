/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be wrong with an image: one of its footers, the checksum of its header, where its blocks lie. Which of two
 * blocks in one place is right nobody can tell; footers are mended from each other, and what is behind the last block
 * is cut off.
 */
#include "block/check.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "format/vhd/writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void vhd_tell_damaged(void *arg, const char *text)
{
        check_corruption(arg, "%s", text);
}

static void vhd_check_step(void *arg, uint64_t done)
{
        check_step(arg, done);
}

static const char *vhd_found_text(VhdFound found)
{
        return found == VHD_BROKEN ? "has a wrong checksum" : "is missing";
}

/* The front footer alone holds the image together when the one at the end gets lost. */
static int vhd_check_front(Node *n, CheckReport *report)
{
        Vhd *v = n->state;
        const VhdFooter *front = &v->footers.front;

        if (front->found == VHD_GOOD)
                return 0;
        check_corruption(report, "the copy of the footer in the first sector %s",
                         vhd_found_text(front->found));
        if (report->repair != CHECK_REPAIR_ALL)
                return 0;
        int r = store_write(n->store, vhd_footer(v), VHD_FOOTER_LEN, 0);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                return r;
        report->corruptions--;
        report->corruptions_fixed++;
        return 0;
}

/* The footer goes to `end`, and the file ends behind it. */
static int vhd_cut(Node *n, uint64_t end)
{
        Vhd *v = n->state;

        int r = store_write(n->store, vhd_footer(v), VHD_FOOTER_LEN, end);
        if (r >= 0)
                r = node_sync(n);
        if (r >= 0)
                r = store_set_size(n->store, end + VHD_FOOTER_LEN);
        return r < 0 ? r : node_sync(n);
}

/* What follows the last block: the footer at once, in a sound image. */
static int vhd_check_end(Node *n, CheckReport *report, const VhdLayout *l)
{
        const Vhd *v = n->state;
        const VhdFooter *end = &v->footers.end;
        bool same =
                end->found == VHD_GOOD && memcmp(&end->disk, vhd_footer(v), (size_t)end->len) == 0;
        uint64_t pos = same ? end->pos : v->footers.file_size;
        uint64_t found = report->leaks;

        if (end->found != VHD_GOOD)
                check_leak(report, "the footer at the end of the file %s",
                           vhd_found_text(end->found));
        else if (!same)
                check_leak(report, "the footer at the end of the file is not its copy in front");
        uint64_t unused = pos - u64_min(l->used_end, pos);
        if (unused >= vhd_place_len(v)) {
                check_leak(report,
                           "%" PRIu64 " bytes behind the last block, at %" PRIu64
                           ", are not in use",
                           unused, l->used_end);
                report->leaks += unused / vhd_place_len(v) - 1;
        }

        found = report->leaks - found;
        if (found == 0 || report->repair == CHECK_LOOK || report->corruptions > 0)
                return 0;
        int r = vhd_cut(n, l->used_end);
        if (r < 0)
                return r;
        report->leaks -= found;
        report->leaks_fixed += found;
        return 0;
}

static int vhd_check_blocks(Node *n, CheckReport *report, VhdLayout *ret)
{
        const Vhd *v = n->state;
        VhdVisitor visitor = { .damaged = vhd_tell_damaged, .step = vhd_check_step, .arg = report };
        _cleanup_free_ uint32_t *bat = NULL;
        uint64_t reserved = 0;

        int r = vhd_read_bat(n, &bat, &reserved, &report->err);
        if (r < 0)
                return r;
        check_begin_pass(report, "checking", v->block_count);
        vhd_layout_walk(v, bat, &visitor, ret);
        cache_release(n->cache, reserved);
        if (ret->gaps > 0) {
                check_leak(report,
                           "there is room for %" PRIu64
                           " blocks between the others, which the next writer will use",
                           ret->gaps);
                report->leaks += ret->gaps - 1;
        }
        return 0;
}

int vhd_check(Node *n, CheckReport *report)
{
        const Vhd *v = n->state;
        VhdLayout l = { 0 };

        /* A fixed disk is its footer and the guest's bytes: what could be wrong has been looked at when it was opened. */
        report->image_end = v->footers.file_size;
        if (v->type == VHD_FIXED)
                return 0;
        if (v->header_broken)
                check_corruption(report,
                                 "the checksum of the dynamic disk header is not that of its "
                                 "bytes");
        int r = vhd_check_blocks(n, report, &l);
        if (r >= 0)
                r = vhd_check_front(n, report);
        if (r >= 0)
                r = vhd_check_end(n, report, &l);
        if (r < 0)
                return r;
        report->image_end = l.used_end + VHD_FOOTER_LEN;
        report->total_clusters = v->block_count;
        report->allocated_clusters = l.blocks;
        return 0;
}
