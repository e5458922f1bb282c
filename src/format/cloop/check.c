/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unpacks every block, as reading the whole disk would. zlib's own checksum tells whether it is what was packed. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/cloop/cloop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

typedef struct CloopCheck {
        Node *node;
        CheckReport *report;
        uint8_t *block;
        uint64_t end;     /* of what of the file was unpacked so far */
        uint64_t damaged; /* so many blocks in front of the one that is looked at */
} CloopCheck;

/* Neighbours are told together: a broken table may have made thousands of millions of them. */
static void cloop_check_tell(CloopCheck *c, uint64_t next)
{
        uint64_t first = next - c->damaged;

        if (c->damaged == 1)
                check_corruption(c->report, "block %" PRIu64 " cannot be unpacked", first);
        else if (c->damaged > 1)
                check_corruption(c->report, "blocks %" PRIu64 " to %" PRIu64 " cannot be unpacked",
                                 first, next - 1);
        c->damaged = 0;
}

/* 1: it is sound. 0: it is not. No byte of the file is unpacked twice, so that a small file cannot keep us busy. */
static int cloop_check_block(CloopCheck *c, uint64_t index)
{
        CloopPlace place = { 0 };

        int r = cloop_find_block(c->node, index, &place);
        if (r >= 0 && place.pos < c->end)
                r = -EIO;
        if (r >= 0) {
                c->end = place.end;
                r = cloop_unpack(c->node, place, c->block);
        }
        return r == -EIO ? 0 : r < 0 ? r : 1;
}

int cloop_check(Node *n, CheckReport *report)
{
        const Cloop *cloop = n->state;
        CloopCheck c = { .node = n, .report = report };
        _cleanup_free_ uint8_t *block = malloc(cloop->block_size);

        if (!block)
                return -ENOMEM;
        c.block = block;
        /* No block lies over the header and its table. */
        c.end = CLOOP_TABLE_POS + ((uint64_t)cloop->block_count + 1) * sizeof(be64);
        check_begin_pass(report, "checking", cloop->block_count);
        for (uint64_t i = 0; i < cloop->block_count; i++) {
                check_step(report, i);
                int r = cloop_check_block(&c, i);
                if (r < 0)
                        return err_set(&report->err, -r, "cannot read block %" PRIu64 ": %m", i);
                if (r > 0)
                        cloop_check_tell(&c, i);
                else
                        c.damaged++;
        }
        cloop_check_tell(&c, cloop->block_count);
        report->image_end = c.end;
        report->total_clusters = cloop->block_count;
        report->allocated_clusters = cloop->block_count;
        report->compressed_clusters = cloop->block_count;
        return 0;
}
