/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares every chunk with its checksum, and the whole disk with the MD5 that was taken of the original. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "format/ewf/ewf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct EwfCheck {
        Node *node;
        CheckReport *report;
        uint8_t *chunk;
        Md5 md5;
        uint64_t damaged; /* so many chunks in front of the one that is looked at */
        uint64_t compressed;
} EwfCheck;

/* Neighbours are told together: a segment that is cut off may lack thousands of millions. */
static void ewf_check_tell(EwfCheck *c, uint64_t next)
{
        const Ewf *e = c->node->state;
        uint64_t first = next - c->damaged;

        if (c->damaged > 0)
                check_corruption(c->report,
                                 "chunks %" PRIu64 " to %" PRIu64 " (bytes %" PRIu64 " to %" PRIu64
                                 " of the disk) are damaged or missing",
                                 first, next - 1, first * e->chunk_len,
                                 u64_min(next * e->chunk_len, c->node->size) - 1);
        c->damaged = 0;
}

/* 1: it is sound. 0: it is not. */
static int ewf_check_chunk(EwfCheck *c, uint64_t index)
{
        const Ewf *e = c->node->state;
        EwfPlace place;

        int r = ewf_find_chunk(c->node, index, &place);
        if (r >= 0)
                r = ewf_read_chunk(c->node, index, c->chunk);
        if (r < 0)
                return r == -EIO ? 0 : r;
        c->compressed += place.is_compressed;
        md5_add(&c->md5, c->chunk,
                (size_t)u64_min(e->chunk_len, c->node->size - index * e->chunk_len));
        return 1;
}

static void ewf_check_tables(EwfCheck *c)
{
        const Ewf *e = c->node->state;

        for (size_t i = 0; i < e->table_count; i++) {
                const EwfTable *t = &e->tables[i];
                if (t->trust == EWF_COPY)
                        check_corruption(c->report,
                                         "the table of chunks %" PRIu64 " to %" PRIu64
                                         " is damaged; its copy is not",
                                         t->first, t->first + t->count - 1);
        }
}

static void ewf_check_hash(EwfCheck *c)
{
        const Ewf *e = c->node->state;
        uint8_t sum[MD5_LEN];
        char text[2 * MD5_LEN + 1] = "";

        if (!e->has_md5) {
                check_tell(c->report, "the image has no MD5 of the disk to compare with");
                return;
        }
        if (c->report->corruptions > 0) {
                check_tell(c->report, "the MD5 of the disk is not compared");
                return;
        }
        md5_end(&c->md5, sum);
        if (memcmp(sum, e->md5, MD5_LEN) == 0)
                return;
        for (size_t i = 0; i < MD5_LEN; i++)
                snprintf(text + 2 * i, 3, "%02x", sum[i]);
        check_corruption(c->report, "the MD5 of the disk is %s, and another one is in the image",
                         text);
}

/* The chunks that there are tables for, and in one go those that there are none for. */
static int ewf_check_chunks(EwfCheck *c)
{
        const Ewf *e = c->node->state;
        uint64_t listed = u64_min(e->chunk_count, e->table_chunks);

        check_begin_pass(c->report, "checking", listed);
        for (uint64_t i = 0; i < listed; i++) {
                check_step(c->report, i);
                int r = ewf_check_chunk(c, i);
                if (r < 0)
                        return err_set(&c->report->err, -r, "cannot read chunk %" PRIu64 ": %m", i);
                if (r > 0)
                        ewf_check_tell(c, i);
                else
                        c->damaged++;
        }
        c->damaged += e->chunk_count - listed;
        ewf_check_tell(c, e->chunk_count);
        return 0;
}

int ewf_check(Node *n, CheckReport *report)
{
        const Ewf *e = n->state;
        _cleanup_free_ uint8_t *chunk = malloc(e->chunk_len);
        EwfCheck c = { .node = n, .report = report, .chunk = chunk };

        if (!chunk)
                return -ENOMEM;
        md5_begin(&c.md5);
        int r = ewf_check_chunks(&c);
        if (r < 0)
                return r;
        ewf_check_tables(&c);
        if (!e->is_complete)
                check_corruption(report, "segment %" PRIu32 " ends before it should",
                                 e->segment_count);
        ewf_check_hash(&c);
        report->total_clusters = e->chunk_count;
        report->allocated_clusters = u64_min(e->chunk_count, e->table_chunks);
        report->compressed_clusters = c.compressed;
        return 0;
}
