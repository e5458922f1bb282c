/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who refers to which host cluster. The rules are those of the specification's sections on each structure. */
#include "base/bits.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/qcow2/check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(LIMIT_CHECK_WINDOW * sizeof(uint32_t) <= LIMIT_TABLE_SIZE, "a window is memory");

int qcow2_check_measure(Qcow2Check *c)
{
        int r = store_get_size(c->n->store, &c->file_size);
        if (r < 0)
                return err_set(&c->report->err, -r, "cannot get the size of the file: %m");
        c->cluster_count = div_round_up(c->file_size, c->q->cluster_size);
        /* A table at the end may reach into one more. */
        uint64_t window = 64;
        while (window < c->cluster_count + 1 && window < LIMIT_CHECK_WINDOW)
                window *= 2;
        if (window == c->window)
                return 0;
        free(c->counts);
        c->window = window;
        c->counts = calloc(window, sizeof(*c->counts));
        return c->counts ? 0 : err_set(&c->report->err, ENOMEM, "%m");
}

/* A table that cannot be used counts as an empty one. */
static int qcow2_check_read_table(Qcow2Check *c)
{
        const Qcow2Header *h = &c->q->header;
        Err why;
        void *table = NULL;

        c->table_pos = h->refcount_table_pos;
        c->table_clusters = h->refcount_table_clusters;
        if (qcow2_check_refcount_table(h, c->file_size, &why) < 0)
                return 0;
        uint64_t count = (h->refcount_table_clusters << h->cluster_bits) / sizeof(be64);
        int r = table_read(c->n->store, c->table_pos, count, sizeof(be64), "refcount table", &table,
                           &c->report->err);
        if (r < 0)
                return r;
        c->table = table;
        c->table_count = count;
        return 0;
}

int qcow2_check_begin(Qcow2Check *c, Node *n, CheckReport *report)
{
        Qcow2 *q = n->state;

        *c = (Qcow2Check){
                .n = n,
                .q = q,
                .report = report,
                .block_count = q->cluster_size * 8 >> q->header.refcount_order,
                .l1_piece = malloc(QCOW2_CHECK_PIECE),
                .l2_piece = malloc(QCOW2_CHECK_PIECE),
                .block_piece = malloc(QCOW2_CHECK_PIECE),
        };
        if (!c->l1_piece || !c->l2_piece || !c->block_piece)
                return err_set(&report->err, ENOMEM, "%m");
        c->out = c->each_out = &c->mute;
        int r = qcow2_check_measure(c);
        if (r < 0)
                return r;
        return qcow2_check_read_table(c);
}

void qcow2_check_done(Qcow2Check *c)
{
        free(c->table);
        free(c->fresh);
        free(c->counts);
        free(c->l1_piece);
        free(c->l2_piece);
        free(c->block_piece);
        *c = (Qcow2Check){ 0 };
}

int qcow2_check_work(Qcow2Check *c, uint64_t amount)
{
        uint64_t found = c->report->corruptions + c->report->leaks + c->mute.corruptions;

        amount += (found - c->found) * LIMIT_CHECK_FINDING;
        c->found = found;
        if (amount > c->work_left)
                return err_set(&c->report->err, EFBIG,
                               "there is more to be looked at than the limit of %" PRIu64
                               " entries",
                               LIMIT_CHECK_ENTRIES);
        c->work_left -= amount;
        return 0;
}

void qcow2_check_refer(Qcow2Check *c, uint64_t pos, uint64_t len, const char *what, uint64_t from)
{
        uint32_t bits = c->q->header.cluster_bits;
        uint64_t end;

        if (len == 0)
                return;
        if (__builtin_add_overflow(pos, len, &end) ||
            (end > c->file_size && end - c->file_size >= c->q->cluster_size)) {
                c->has_far = true;
                check_corruption(c->out,
                                 "ERROR %s at 0x%" PRIx64 " (by the entry at 0x%" PRIx64
                                 "): its %" PRIu64
                                 " bytes reach past the end of the file by a cluster or more",
                                 what, pos, from, len);
                return;
        }

        uint64_t behind = c->first + c->window;
        uint64_t k = u64_max(pos >> bits, c->first);
        uint64_t last = (end - 1) >> bits;
        if (last >= behind)
                c->next = u64_min(c->next, u64_max(pos >> bits, behind));
        for (; k <= last && k < behind; k++)
                if (c->counts[k - c->first] < QCOW2_COUNT_MAX)
                        c->counts[k - c->first]++;
}

/* What the compressed descriptor of an L2 entry refers to. */
static void qcow2_count_compressed(Qcow2Check *c, const Qcow2Slot *slot)
{
        uint32_t split = 70 - c->q->header.cluster_bits;
        uint64_t descriptor = slot->entry & (QCOW2_ENTRY_COMPRESSED - 1);
        uint64_t pos = descriptor & ((UINT64_C(1) << split) - 1);
        uint64_t sectors = (descriptor >> split) + 1;

        if (slot->entry & QCOW2_ENTRY_COPIED)
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): compressed, with the COPIED bit",
                                 slot->pos, slot->entry);
        if (slot->bitmap != 0)
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): compressed, with a subcluster bitmap",
                                 slot->pos, slot->entry);
        if (qcow2_has_data_file(&c->q->header)) {
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): compressed, in an image with a data file",
                                 slot->pos, slot->entry);
                return;
        }
        if (slot->active) {
                c->out->allocated_clusters++;
                c->out->compressed_clusters++;
                /* Packed byte by byte, they are never in one piece. */
                c->out->fragmented_clusters++;
        }
        qcow2_check_refer(c, pos, sectors * QCOW2_SECTOR - (pos & (QCOW2_SECTOR - 1)),
                          "compressed cluster", slot->pos);
}

static void qcow2_count_allocated(Qcow2Check *c, uint64_t pos)
{
        c->out->allocated_clusters++;
        if (c->data_next != 0 && pos != c->data_next)
                c->out->fragmented_clusters++;
        c->data_next = pos + c->q->cluster_size;
}

/* A zero cluster has no need of its place: without it, it reads the same. */
static int qcow2_fix_zero(Qcow2Check *c, const Qcow2Slot *slot)
{
        be64 entry = to_be64(c->q->extended ? 0 : QCOW2_ENTRY_ZERO);

        int r = store_write(c->n->store, &entry, sizeof(entry), slot->pos);
        return r < 0 ? err_set(&c->report->err, -r, "cannot write an L2 entry: %m") : 0;
}

static void qcow2_check_bits(Qcow2Check *c, const Qcow2Slot *slot, bool has_place)
{
        uint32_t allocated = (uint32_t)slot->bitmap;
        uint32_t zero = (uint32_t)(slot->bitmap >> QCOW2_SUBCLUSTERS);

        if (slot->entry & QCOW2_L2_RESERVED)
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64 "): reserved bits",
                                 slot->pos, slot->entry);
        if ((slot->entry & QCOW2_ENTRY_ZERO) && (c->q->extended || c->q->header.version < 3))
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): the zero bit, which %s does not have",
                                 slot->pos, slot->entry,
                                 c->q->extended ? "an extended entry" : "version 2");
        if (allocated & zero)
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (bitmap 0x%" PRIx64
                                 "): subclusters both allocated and zero",
                                 slot->pos, slot->bitmap);
        else if (allocated && !has_place)
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (bitmap 0x%" PRIx64
                                 "): allocated subclusters without a cluster",
                                 slot->pos, slot->bitmap);
}

static int qcow2_count_cluster(Qcow2Check *c, const Qcow2Slot *slot)
{
        bool outside = qcow2_has_data_file(&c->q->header);
        uint64_t pos = slot->entry & QCOW2_ENTRY_POS;
        bool zero = c->q->extended ? (uint32_t)slot->bitmap == 0 : slot->entry & QCOW2_ENTRY_ZERO;

        if (slot->entry & QCOW2_ENTRY_COMPRESSED) {
                qcow2_count_compressed(c, slot);
                return 0;
        }
        /* In a data file the first cluster lies at 0. */
        bool has_place = pos != 0 || (outside && (slot->entry & QCOW2_ENTRY_COPIED) && !zero);
        qcow2_check_bits(c, slot, has_place);
        if (!has_place)
                return 0;
        if (slot->active)
                qcow2_count_allocated(c, pos);
        if (!is_aligned(pos, c->q->cluster_size)) {
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): the %s cluster is not at a multiple of the cluster size",
                                 slot->pos, slot->entry, zero ? "zero" : "data");
                c->has_bad_zeroes |= zero;
                if (zero && c->fix_zeroes)
                        return qcow2_fix_zero(c, slot);
        } else if (outside && pos != slot->off) {
                check_corruption(c->out,
                                 "ERROR L2 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): in a data file it can only be at 0x%" PRIx64,
                                 slot->pos, slot->entry, slot->off);
        }
        if (!outside)
                qcow2_check_refer(c, pos, c->q->cluster_size, "data cluster", slot->pos);
        return 0;
}

static int qcow2_count_table(Qcow2Check *c, const Qcow2Slot *slot)
{
        uint64_t pos = slot->entry & QCOW2_ENTRY_POS;

        /* Between two tables a gap is no fragment. */
        c->data_next = 0;

        if (slot->entry & QCOW2_L1_RESERVED)
                check_corruption(c->out,
                                 "ERROR L1 entry at 0x%" PRIx64 " (0x%" PRIx64 "): reserved bits",
                                 slot->pos, slot->entry);
        if (pos == 0)
                return 0;
        if (!is_aligned(pos, c->q->cluster_size))
                check_corruption(c->out,
                                 "ERROR L1 entry at 0x%" PRIx64 " (0x%" PRIx64
                                 "): the L2 table is not at a multiple of the cluster size",
                                 slot->pos, slot->entry);
        c->is_blind |= pos >= c->file_size;
        qcow2_check_refer(c, pos, c->q->cluster_size, "L2 table", slot->pos);
        return 0;
}

/* The part of an L2 table that is in the piece. */
static int qcow2_walk_l2_piece(Qcow2Check *c,
                               const Qcow2Slot *first,
                               const be64 *entries,
                               uint64_t count,
                               const Qcow2Visitor *v)
{
        uint32_t words = c->q->extended ? 2 : 1;
        Qcow2Slot slot = *first;
        uint64_t used = 0;

        for (uint64_t i = 0; i < count; i++) {
                slot.entry = from_be64(entries[i * words]);
                slot.bitmap = c->q->extended ? from_be64(entries[i * words + 1]) : 0;
                if (slot.entry != 0 || slot.bitmap != 0) {
                        used++;
                        int r = v->cluster(c, &slot);
                        if (r < 0)
                                return r;
                }
                slot.pos += words * sizeof(be64);
                slot.off += c->q->cluster_size;
        }
        return qcow2_check_work(c, used * LIMIT_CHECK_ENTRY_USED);
}

/* `l1` is the entry for it. The table is taken to lie in the cluster that its place falls into. */
static int qcow2_walk_l2(Qcow2Check *c, const Qcow2Slot *l1, const Qcow2Visitor *v)
{
        uint64_t pos = round_down(l1->entry & QCOW2_ENTRY_POS, c->q->cluster_size);
        uint64_t len = u64_min(c->q->cluster_size, QCOW2_CHECK_PIECE);
        uint64_t count = len >> c->q->entry_bits;
        Qcow2Slot slot = { .off = l1->off, .active = l1->active };

        for (uint64_t at = 0; at < c->q->cluster_size && pos + at < c->file_size; at += len) {
                int r = qcow2_check_work(c, count);
                if (r < 0)
                        return r;
                r = store_read_padded(c->n->store, c->l2_piece, len, pos + at);
                if (r < 0)
                        return err_set(&c->report->err, -r,
                                       "cannot read the L2 table at %" PRIu64 ": %m", pos);
                slot.pos = pos + at;
                r = qcow2_walk_l2_piece(c, &slot, (const be64 *)c->l2_piece, count, v);
                if (r < 0)
                        return r;
                slot.off += count << c->q->header.cluster_bits;
        }
        return 0;
}

int qcow2_check_walk(
        Qcow2Check *c, uint64_t l1_pos, uint64_t l1_count, bool active, const Qcow2Visitor *v)
{
        const uint64_t count = QCOW2_CHECK_PIECE / sizeof(be64);

        for (uint64_t i = 0; i < l1_count; i++) {
                uint64_t at = i % count;
                if (at == 0) {
                        uint64_t rest = u64_min(count, l1_count - i);
                        int r = qcow2_check_work(c, rest);
                        if (r < 0)
                                return r;
                        r = store_read_padded(c->n->store, c->l1_piece, rest * sizeof(be64),
                                              l1_pos + i * sizeof(be64));
                        if (r < 0)
                                return err_set(&c->report->err, -r,
                                               "cannot read the L1 table at %" PRIu64 ": %m",
                                               l1_pos);
                }
                Qcow2Slot slot = {
                        .pos = l1_pos + i * sizeof(be64),
                        .off = i << c->q->l1_bits,
                        .entry = from_be64(((const be64 *)c->l1_piece)[at]),
                        .active = active,
                };
                c->walked++;
                if (slot.entry == 0)
                        continue;
                check_step(c->report, c->walked);
                int r = v->table(c, &slot);
                if (r >= 0 && (slot.entry & QCOW2_ENTRY_POS) != 0)
                        r = qcow2_walk_l2(c, &slot, v);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* All else has been counted before: what is shared with something cannot be written as a refcount block. */
static void qcow2_count_block(Qcow2Check *c, uint64_t index, uint64_t pos, uint64_t from)
{
        uint64_t k = pos >> c->q->header.cluster_bits;

        qcow2_check_refer(c, pos, c->q->cluster_size, "refcount block", from);
        if (k < c->first || k - c->first >= c->window || c->counts[k - c->first] == 1)
                return;
        c->needs_rebuild = true;
        check_corruption(c->each_out,
                         "ERROR refcount block %" PRIu64 " at 0x%" PRIx64
                         ": its cluster has %" PRIu32 " references instead of 1",
                         index, pos, c->counts[k - c->first]);
}

/* The refcount table and its blocks take space like everything else. */
static void qcow2_count_refcounts(Qcow2Check *c)
{
        if (c->omit_refcounts)
                return;
        if (c->table_count == 0) {
                c->needs_rebuild = true;
                if (c->table_clusters == 0 || c->table_pos == 0)
                        return;
        }
        /* A table that is far away is given up for a new one, so nothing will point there. */
        bool has_far = c->has_far;
        qcow2_check_refer(c, c->table_pos, c->table_clusters << c->q->header.cluster_bits,
                          "refcount table", 0);
        c->has_far = has_far;
        for (uint64_t i = 0; i < c->table_count; i++) {
                uint64_t entry = from_be64(c->table[i]);
                uint64_t from = c->table_pos + i * sizeof(be64);
                const char *wrong = NULL;
                if (entry == 0)
                        continue;
                uint64_t pos = round_down(entry, QCOW2_SECTOR);
                if (entry != pos)
                        wrong = "reserved bits";
                else if (!is_aligned(pos, c->q->cluster_size))
                        wrong = "the block is not at a multiple of the cluster size";
                else if (pos >= c->file_size)
                        wrong = "the block is past the end of the file";
                if (!wrong) {
                        qcow2_count_block(c, i, pos, from);
                        continue;
                }
                c->needs_rebuild = true;
                check_corruption(c->out,
                                 "ERROR refcount table entry %" PRIu64 " (0x%" PRIx64 "): %s", i,
                                 entry, wrong);
        }
}

int qcow2_check_count(Qcow2Check *c)
{
        static const Qcow2Visitor counting = {
                .table = qcow2_count_table,
                .cluster = qcow2_count_cluster,
        };
        const Qcow2Header *h = &c->q->header;

        qcow2_check_refer(c, 0, 1, "header", 0);
        qcow2_check_refer(c, h->l1_pos, h->l1_count * sizeof(be64), "L1 table", 0);
        int r = qcow2_check_walk(c, h->l1_pos, h->l1_count, true, &counting);
        if (r < 0)
                return r;
        r = qcow2_check_snapshots_of(c, &counting);
        if (r < 0)
                return r;
        qcow2_check_refer(c, c->q->crypto_pos, c->q->crypto_len, "encryption header", 0);
        r = qcow2_check_bitmaps_of(c);
        if (r < 0)
                return r;
        qcow2_count_refcounts(c);
        return 0;
}
