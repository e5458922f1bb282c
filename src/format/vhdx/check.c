/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each block that the BAT says is there has to lie in the file, over nothing else. Space that nothing refers to is no leak:
 * programs of all kinds leave some, as VHDX has no list of it, and the next block may be put there.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "format/vhdx/space.h"

#include <errno.h>
#include <inttypes.h>

#define _cleanup_space_ _cleanup_(vhdx_space_done)

/* A repair is what opening the image for writing does. */
static int vhdx_check_repair(Node *n, CheckReport *report)
{
        Vhdx *v = n->state;

        if (report->repair == CHECK_LOOK || (uuid_is_zero(&v->header.log) && !v->header_lost))
                return 0;
        uint64_t waiting = v->log_entries;
        int r = vhdx_log_replay(n, report, &report->err);
        if (r < 0)
                return r;
        if (waiting > 0)
                check_tell(report, "the %" PRIu64 " entries of the log were put into their places",
                           waiting);
        cache_drop_owner(n->cache, n);
        r = store_get_size(n->store, &v->file_size);
        return r < 0 ? err_set(&report->err, -r, "cannot get the size of the file: %m") : 0;
}

static void vhdx_check_tell(const Vhdx *v, CheckReport *report)
{
        if (v->header_lost)
                check_tell(report, "one of the two headers is not sound; the other one counts");
        if (v->table_lost)
                check_tell(report,
                           "one of the two region tables is not sound; the other one counts");
        if (v->log_entries > 0)
                check_tell(report,
                           "the log has %" PRIu64
                           " entries that are not in their places yet; what follows is said of the "
                           "image with them",
                           v->log_entries);
}

int vhdx_check(Node *n, CheckReport *report)
{
        const Vhdx *v = n->state;
        _cleanup_space_ VhdxSpace space = { 0 };
        VhdxSurvey survey = { 0 };

        int r = vhdx_check_repair(n, report);
        if (r < 0)
                return r;
        vhdx_check_tell(v, report);
        r = vhdx_space_init(n, &space, div_round_up(v->file_size, VHDX_UNIT), &report->err);
        if (r >= 0)
                r = vhdx_survey(n, &space, report, &survey, &report->err);
        if (r < 0)
                return r;
        report->image_end = survey.end;
        report->total_clusters = survey.blocks;
        report->allocated_clusters = survey.present;
        report->fragmented_clusters = survey.fragments;
        return 0;
}
