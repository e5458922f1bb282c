/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What would keep an image from opening was looked at by then. What is left is whether all of it is there. */
#include "block/check.h"
#include "base/bits.h"
#include "format/sparseimage/sparseimage.h"

#include <inttypes.h>

int sparseimage_check(Node *n, CheckReport *report)
{
        const SparseImage *s = n->state;
        uint64_t expected = SPARSEIMAGE_NODE_LEN;

        report->total_clusters = s->band_count;
        report->allocated_clusters = s->used_count;
        report->image_end = s->nodes[s->node_count - 1] + SPARSEIMAGE_NODE_LEN;
        if (s->is_cut)
                check_corruption(report, "The file ends before its last node: what lies in bands "
                                         "that are not found is not known");
        check_begin_pass(report, "checking", s->used_count);
        for (uint64_t i = 0; i < s->used_count; i++) {
                if (i % SPARSEIMAGE_INDEX_SLOTS == 0)
                        check_step(report, i);
                const SparseImageBand *b = &s->bands[i];
                uint64_t first = b->number * s->band_len, pos = sparseimage_band_pos(s, b);
                uint64_t end = pos + u64_min(s->band_len, n->size - first);
                report->fragmented_clusters += pos != expected;
                expected = pos + s->band_len;
                report->image_end = u64_max(report->image_end, end);
                if (end > s->file_size)
                        check_corruption(report,
                                         "Band %" PRIu32 " reaches to %" PRIu64
                                         ", beyond the end of the file",
                                         b->number + 1, end);
        }
        return 0;
}
