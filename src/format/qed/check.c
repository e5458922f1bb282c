/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QED image is sound when each entry leads to a place of its own behind the header. Places that nothing leads to are
 * leaks. Which are in use is counted for a window of the file at a time, so that memory is bounded whatever its size: all
 * tables are walked once for each window in which anything lies. They are read from the file, a piece at a time.
 *
 * Repair makes an entry that leads nowhere say that there is nothing, as the specification has it. Leaks stay. Where places
 * have two owners all stays as it is: nobody knows whose they are.
 */
#include "block/check.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/qed/qed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        QED_CHECK_PIECE = 65536, /* bytes of a table in memory at a time */
        QED_CHECK_TOLD_MAX = 64, /* sentences about single leaks in one window */
};

/* Clusters of a window: a bit for each. */
#define QED_CHECK_WINDOW (LIMIT_CHECK_WINDOW * 8)

typedef struct QedCheck {
        Node *n;
        const QedHeader *h;
        CheckReport *report;

        uint64_t file_size;
        uint64_t cluster_count;       /* of the file; the last one may be cut off */
        uint8_t *l1_piece, *l2_piece; /* owned, QED_CHECK_PIECE each */

        uint8_t *used; /* owned: a bit for each cluster of the window */
        uint64_t used_len;
        uint64_t first; /* cluster of the window */
        uint64_t next;  /* the lowest cluster behind the window that something refers to */
        uint64_t work_left;
        uint64_t data_next; /* where the next cluster lies if the disk is in one piece */
        bool reserved;
        bool has_doubles; /* a place has two owners */
} QedCheck;

/* An entry of an L1 or L2 table. */
typedef struct QedSlot {
        uint64_t pos; /* where it stands in the file */
        uint64_t entry;
} QedSlot;

static void qed_check_done(QedCheck *c)
{
        if (c->reserved)
                cache_release(c->n->cache, c->used_len + 2 * QED_CHECK_PIECE);
        free(c->used);
        free(c->l1_piece);
        free(c->l2_piece);
}
#define _cleanup_check_ _cleanup_(qed_check_done)

static int qed_check_begin(QedCheck *c, Node *n, CheckReport *report)
{
        const Qed *q = n->state;

        *c = (QedCheck){ .n = n, .h = &q->header, .report = report };
        int r = store_get_size(n->store, &c->file_size);
        if (r < 0)
                return err_set(&report->err, -r, "cannot get the size of the file: %m");
        c->cluster_count = div_round_up(c->file_size, UINT64_C(1) << c->h->cluster_bits);
        c->used_len = div_round_up(u64_min(c->cluster_count, QED_CHECK_WINDOW), 8);
        r = table_reserve(n->cache, c->used_len + 2 * QED_CHECK_PIECE, "check", &report->err);
        if (r < 0)
                return r;
        c->reserved = true;
        c->used = malloc((size_t)c->used_len);
        c->l1_piece = malloc(QED_CHECK_PIECE);
        c->l2_piece = malloc(QED_CHECK_PIECE);
        return c->used && c->l1_piece && c->l2_piece ? 0 : -ENOMEM;
}

/* Takes `amount` of what a check may look at. */
static int qed_check_work(QedCheck *c, uint64_t amount)
{
        if (amount > c->work_left)
                return err_set(&c->report->err, EFBIG,
                               "the tables have more entries than can be looked at");
        c->work_left -= amount;
        return 0;
}

/* The clusters of the range are in use. */
static int qed_check_refer(QedCheck *c, uint64_t pos, uint64_t len, const QedSlot *from)
{
        uint64_t k = pos >> c->h->cluster_bits;
        uint64_t end = div_round_up(pos + len, UINT64_C(1) << c->h->cluster_bits);
        uint64_t window_end = c->first + QED_CHECK_WINDOW;

        end = u64_min(end, c->cluster_count);
        if (end > window_end)
                c->next = u64_min(c->next, u64_max(k, window_end));
        k = u64_max(k, c->first);
        end = u64_max(k, u64_min(end, window_end));
        int r = qed_check_work(c, end - k);
        if (r < 0)
                return r;
        for (; k < end; k++) {
                uint8_t *byte = &c->used[(k - c->first) / 8], bit = (uint8_t)(1 << k % 8);
                if (*byte & bit) {
                        r = qed_check_work(c, LIMIT_CHECK_FINDING);
                        if (r < 0)
                                return r;
                        c->has_doubles = true;
                        check_corruption(
                                c->report,
                                "ERROR cluster %" PRIu64
                                " is used twice, the second time by the entry at 0x%" PRIx64
                                " (0x%" PRIx64 ")",
                                k, from->pos, from->entry);
                }
                *byte |= bit;
        }
        return 0;
}

/* An entry that leads nowhere; told once. */
static int qed_check_invalid(QedCheck *c, const QedSlot *slot, const char *what)
{
        if (c->first > 0)
                return 0;
        check_corruption(c->report,
                         "ERROR %s entry at 0x%" PRIx64 " (0x%" PRIx64 ") leads to no cluster",
                         what, slot->pos, slot->entry);
        return qed_check_work(c, LIMIT_CHECK_FINDING);
}

static int qed_check_data(QedCheck *c, const QedSlot *slot)
{
        uint64_t cluster = UINT64_C(1) << c->h->cluster_bits;

        if (slot->entry == QED_ENTRY_ZERO)
                return 0;
        if (!qed_is_cluster(c->h, slot->entry, c->file_size))
                return qed_check_invalid(c, slot, "L2");
        if (c->first == 0) {
                c->report->allocated_clusters++;
                c->report->fragmented_clusters += c->data_next != 0 && c->data_next != slot->entry;
                c->data_next = slot->entry + cluster;
        }
        return qed_check_refer(c, slot->entry, cluster, slot);
}

typedef int QedVisit(QedCheck *c, const QedSlot *slot);

/* Calls `visit` for the entries of a table that are not 0. */
static int qed_check_walk(QedCheck *c, uint64_t table, uint8_t *piece, QedVisit *visit)
{
        for (uint64_t done = 0; done < c->h->table_len;) {
                size_t len = (size_t)u64_min(c->h->table_len - done, QED_CHECK_PIECE);
                int r = store_read_padded(c->n->store, piece, len, table + done);
                if (r < 0)
                        return err_set(&c->report->err, -r,
                                       "cannot read the table at %" PRIu64 ": %m", table);
                r = qed_check_work(c, len / sizeof(le64));
                for (size_t at = 0; at < len && r >= 0; at += sizeof(le64)) {
                        le64 raw;
                        memcpy(&raw, piece + at, sizeof(raw));
                        QedSlot slot = { table + done + at, from_le64(raw) };
                        if (slot.entry == 0)
                                continue;
                        r = qed_check_work(c, LIMIT_CHECK_ENTRY_USED);
                        if (r >= 0)
                                r = visit(c, &slot);
                }
                if (r < 0)
                        return r;
                done += len;
        }
        return 0;
}

static bool qed_check_is_table(const QedCheck *c, uint64_t pos)
{
        return qed_is_cluster(c->h, pos, c->file_size) &&
               in_range(pos, c->h->table_len, c->file_size);
}

static int qed_check_table(QedCheck *c, const QedSlot *slot)
{
        check_step(c->report, (slot->pos - c->h->l1_pos) / sizeof(le64));
        if (!qed_check_is_table(c, slot->entry))
                return qed_check_invalid(c, slot, "L1");
        int r = qed_check_refer(c, slot->entry, c->h->table_len, slot);
        return r < 0 ? r : qed_check_walk(c, slot->entry, c->l2_piece, qed_check_data);
}

/* All references to clusters of the window. */
static int qed_check_count(QedCheck *c)
{
        QedSlot header = { 0 };

        c->next = UINT64_MAX;
        memset(c->used, 0, (size_t)c->used_len);
        int r = qed_check_work(c, c->used_len);
        if (r >= 0)
                r = qed_check_refer(c, 0, c->h->len, &header);
        if (r >= 0)
                r = qed_check_refer(c, c->h->l1_pos, c->h->table_len, &header);
        return r < 0 ? r : qed_check_walk(c, c->h->l1_pos, c->l1_piece, qed_check_table);
}

/* Clusters in a row that nothing refers to, one sentence for all of them. */
static void qed_check_leaked(QedCheck *c, uint64_t from, uint64_t end)
{
        if (from == end)
                return;
        check_tell(c->report, "Leaked clusters %" PRIu64 " to %" PRIu64, from, end - 1);
        c->report->leaks += end - from;
}

/* The leaks of the window. */
static void qed_check_leaks(QedCheck *c)
{
        uint64_t end = u64_min(c->cluster_count, c->first + QED_CHECK_WINDOW);
        uint64_t from = c->first, told = 0, more = 0;

        for (uint64_t k = c->first; k < end; k++) {
                uint8_t byte = c->used[(k - c->first) / 8];
                /* Great holes are passed by in steps of 8; the window begins with a multiple. */
                if (byte == 0)
                        k |= 7;
                if (!(byte >> k % 8 & 1))
                        continue;
                if (told < QED_CHECK_TOLD_MAX)
                        qed_check_leaked(c, from, k);
                else
                        more += k - from;
                told += k > from;
                from = k + 1;
        }
        c->report->leaks += more;
        if (more > 0)
                check_tell(c->report, "and %" PRIu64 " more", more);
        qed_check_leaked(c, from, end);
}

static int qed_check_look(QedCheck *c)
{
        c->work_left = LIMIT_CHECK_ENTRIES;
        c->first = 0;
        c->data_next = 0;
        uint64_t entries = c->h->table_len / sizeof(le64);
        check_begin_pass(c->report, "checking",
                         (c->cluster_count / QED_CHECK_WINDOW + 1) * entries);
        for (;;) {
                check_begin_part(c->report, c->first / QED_CHECK_WINDOW * entries);
                int r = qed_check_count(c);
                if (r < 0)
                        return r;
                qed_check_leaks(c);
                uint64_t end = u64_min(c->cluster_count, c->first + QED_CHECK_WINDOW);
                uint64_t next = u64_min(c->next & ~UINT64_C(7), c->cluster_count);
                /* Where nothing lies, all is leaked. */
                qed_check_leaked(c, end, next);
                if (next == c->cluster_count)
                        break;
                c->first = next;
        }
        c->report->total_clusters = div_round_up(c->n->size, UINT64_C(1) << c->h->cluster_bits);
        return 0;
}

static int qed_check_look_again(QedCheck *c)
{
        check_begin_again(c->report);
        int r = qed_check_look(c);
        check_end_again(c->report);
        return r;
}

static int qed_check_sync(QedCheck *c)
{
        int r = node_sync(c->n);
        return r < 0 ? err_set(&c->report->err, -r, "cannot sync the image: %m") : 0;
}

/* An image without errors needs no check any more. */
static int qed_check_clear_bit(QedCheck *c)
{
        Qed *q = c->n->state;
        uint64_t features = q->header.features & ~QED_FEATURE_NEED_CHECK;

        if (c->report->corruptions > 0 || features == q->header.features)
                return 0;
        int r = qed_check_sync(c);
        if (r < 0)
                return r;
        r = qed_write_field(c->n, offsetof(QedDiskHeader, features), features);
        if (r < 0)
                return err_set(&c->report->err, -r, "cannot write the header: %m");
        q->header.features = features;
        return qed_check_sync(c);
}

/* There is nothing where the entry leads. */
static int qed_repair_entry(QedCheck *c, const QedSlot *slot)
{
        int r = qed_write_field(c->n, slot->pos, 0);
        return r < 0 ? err_set(&c->report->err, -r, "cannot write an entry: %m") : 0;
}

static int qed_repair_data(QedCheck *c, const QedSlot *slot)
{
        if (slot->entry == QED_ENTRY_ZERO || qed_is_cluster(c->h, slot->entry, c->file_size))
                return 0;
        return qed_repair_entry(c, slot);
}

static int qed_repair_table(QedCheck *c, const QedSlot *slot)
{
        check_step(c->report, (slot->pos - c->h->l1_pos) / sizeof(le64));
        if (!qed_check_is_table(c, slot->entry))
                return qed_repair_entry(c, slot);
        return qed_check_walk(c, slot->entry, c->l2_piece, qed_repair_data);
}

static int qed_check_repair(QedCheck *c)
{
        uint64_t corruptions = c->report->corruptions;

        /* What one takes for a damaged table may be another's data. */
        if (c->has_doubles)
                check_tell(c->report, "Nothing is repaired, because clusters are used twice");
        if (corruptions > 0 && !c->has_doubles) {
                c->work_left = LIMIT_CHECK_ENTRIES;
                check_begin_pass(c->report, "repairing", c->h->table_len / sizeof(le64));
                int r = qed_check_walk(c, c->h->l1_pos, c->l1_piece, qed_repair_table);
                if (r >= 0)
                        r = qed_check_sync(c);
                if (r >= 0)
                        r = qed_check_look_again(c);
                if (r < 0)
                        return r;
                c->report->corruptions_fixed =
                        corruptions - u64_min(corruptions, c->report->corruptions);
        }
        return qed_check_clear_bit(c);
}

static int qed_check_all(Node *n, CheckReport *report)
{
        _cleanup_check_ QedCheck c;

        int r = qed_check_begin(&c, n, report);
        if (r >= 0)
                r = qed_check_look(&c);
        return r < 0 || report->repair != CHECK_REPAIR_ALL ? r : qed_check_repair(&c);
}

int qed_check(Node *n, CheckReport *report)
{
        int r = qed_check_all(n, report);
        if (r < 0)
                return r;
        if (report->repair == CHECK_REPAIR_LEAKS && report->leaks > 0)
                check_tell(report, "Leaks stay: QED has no list of free clusters");
        return 0;
}

int qed_repair(Node *n, Err *err)
{
        CheckReport report = check_report_of(n, CHECK_REPAIR_ALL);

        int r = qed_check_all(n, &report);
        if (r < 0)
                return err_set(err, -r,
                               "the image was not closed cleanly, and cannot be checked: %s",
                               report.err.text);
        return check_refuse_unclean(&report, err);
}
