/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log: a ring of entries, each of which says what some pages of the file are to be. Those that belong to the current
 * header are to be carried out before anything else is believed of the file. That is done in memory first, also where
 * the file is to be written: what is wrong with a log is found before anything has changed.
 *
 * Valid entries do not lie over each other, so they are found in one walk over the ring. Those that follow each other in
 * the ring, and in their numbers, are a sequence. The active one is that with the highest number at its end (its head)
 * that goes back to the tail which the head names.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "block/check.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/vhdx/vhdx.h"
#include "store/patched.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* What looking for entries may cost, in lengths of the ring: real ones cost one, and stale ones little more. */
        VHDX_LOG_LOOKS = 4,
        VHDX_LOG_ENTRIES_FIRST = 64,
};

typedef struct VhdxLogEntry {
        uint64_t at, len; /* in the ring */
        uint64_t tail;
        uint64_t sequence;
        uint64_t flushed, last; /* sizes of the file */
        uint64_t descriptors, pages;
} VhdxLogEntry;

typedef struct VhdxLog {
        Node *node;
        uint64_t pos, len;
        le_guid guid;
        uint64_t looked;       /* bytes that have been summed up */
        VhdxLogEntry *entries; /* owned; in the order of the ring */
        size_t count, room;
        uint64_t reserved;
} VhdxLog;

static void vhdx_log_done(VhdxLog *l)
{
        cache_release(l->node->cache, l->reserved);
        free(l->entries);
}
#define _cleanup_log_ _cleanup_(vhdx_log_done)

/* One page of the ring; what the file has lost is zeroes, which are no entry. */
static int vhdx_log_read(const VhdxLog *l, uint64_t at, uint8_t page[VHDX_PAGE])
{
        return store_read_padded(l->node->store, page, VHDX_PAGE, l->pos + at % l->len);
}

/* The beginning of an entry: 1 it may be one. */
static int vhdx_log_parse(const VhdxLog *l, uint64_t at, const uint8_t *page, VhdxLogEntry *ret)
{
        VhdxDiskLogEntry d;

        memcpy(&d, page, sizeof(d));
        VhdxLogEntry e = {
                .at = at,
                .len = from_le32(d.entry_length),
                .tail = from_le32(d.tail),
                .sequence = from_le64(d.sequence_number),
                .flushed = from_le64(d.flushed_file_offset),
                .last = from_le64(d.last_file_offset),
                .descriptors = from_le32(d.descriptor_count),
        };
        if (memcmp(d.signature, "loge", 4) != 0 || memcmp(&d.log_guid, &l->guid, UUID_LEN) != 0)
                return 0;
        if (e.len == 0 || e.len > l->len || !is_aligned(e.len, VHDX_PAGE) || e.sequence == 0)
                return 0;
        if (e.tail >= l->len || !is_aligned(e.tail, VHDX_PAGE))
                return 0;
        if (!in_range(sizeof(d), e.descriptors * sizeof(VhdxDiskDescriptor), e.len))
                return 0;
        *ret = e;
        return 1;
}

/* Where the pages of an entry begin, behind its descriptors. */
static uint64_t vhdx_log_pages_at(const VhdxLogEntry *e)
{
        return round_up(sizeof(VhdxDiskLogEntry) + e->descriptors * sizeof(VhdxDiskDescriptor),
                        VHDX_PAGE);
}

static bool vhdx_descriptor_is_page(const VhdxDiskDescriptor *d)
{
        return memcmp(d->signature, "desc", 4) == 0;
}

static bool vhdx_descriptor_is_sound(const VhdxDiskDescriptor *d, const VhdxLogEntry *e)
{
        if (from_le64(d->sequence_number) != e->sequence ||
            !is_aligned(from_le64(d->file_offset), VHDX_PAGE))
                return false;
        if (vhdx_descriptor_is_page(d))
                return true;
        return memcmp(d->signature, "zero", 4) == 0 &&
               is_aligned(from_le64(d->zero_length), VHDX_PAGE);
}

/* Checks the descriptors in the page that is at `skip` into the entry. Counts those that have a page. */
static bool vhdx_log_check_descriptors(VhdxLogEntry *e, uint64_t skip, const uint8_t *page)
{
        size_t at = skip == 0 ? sizeof(VhdxDiskLogEntry) : 0;
        uint64_t end = sizeof(VhdxDiskLogEntry) + e->descriptors * sizeof(VhdxDiskDescriptor);

        for (; at < VHDX_PAGE && skip + at < end; at += sizeof(VhdxDiskDescriptor)) {
                VhdxDiskDescriptor d;
                memcpy(&d, page + at, sizeof(d));
                if (!vhdx_descriptor_is_sound(&d, e))
                        return false;
                e->pages += vhdx_descriptor_is_page(&d);
        }
        return true;
}

static bool vhdx_log_check_page(const VhdxLogEntry *e, const uint8_t *page)
{
        VhdxDiskLogPage d;

        memcpy(&d, page, sizeof(d));
        return memcmp(d.signature, "data", 4) == 0 &&
               from_le32(d.sequence_high) == (uint32_t)(e->sequence >> 32) &&
               from_le32(d.sequence_low) == (uint32_t)e->sequence;
}

/* Goes through an entry from its first page on: 1 it is valid, 0 it is not. */
static int vhdx_log_verify(VhdxLog *l, VhdxLogEntry *e, uint8_t page[VHDX_PAGE])
{
        uint64_t pages_at = vhdx_log_pages_at(e);
        VhdxDiskLogEntry d;
        uint32_t crc = 0;

        memcpy(&d, page, sizeof(d));
        memset(page + offsetof(VhdxDiskLogEntry, checksum), 0, sizeof(d.checksum));
        if (pages_at > e->len)
                return 0;
        for (uint64_t skip = 0; skip < e->len; skip += VHDX_PAGE) {
                int r = skip == 0 ? 0 : vhdx_log_read(l, e->at + skip, page);
                if (r < 0)
                        return r;
                l->looked += VHDX_PAGE;
                crc = crc32c(crc, page, VHDX_PAGE);
                bool sound = skip < pages_at ? vhdx_log_check_descriptors(e, skip, page)
                                             : (skip - pages_at) / VHDX_PAGE >= e->pages ||
                                                       vhdx_log_check_page(e, page);
                if (!sound)
                        return 0;
        }
        return in_range(pages_at, e->pages * VHDX_PAGE, e->len) && crc == from_le32(d.checksum);
}

static int vhdx_log_add(VhdxLog *l, const VhdxLogEntry *e, Err *err)
{
        if (l->count == l->room) {
                size_t room = l->room ? 2 * l->room : VHDX_LOG_ENTRIES_FIRST;
                uint64_t more = (room - l->room) * sizeof(*e);
                int r = table_reserve(l->node->cache, more, "log", err);
                if (r < 0)
                        return r;
                l->reserved += more;
                VhdxLogEntry *grown = reallocarray(l->entries, room, sizeof(*e));
                if (!grown)
                        return err_set(err, ENOMEM, "log: %m");
                l->entries = grown;
                l->room = room;
        }
        l->entries[l->count++] = *e;
        return 0;
}

/* Finds all valid entries. */
static int vhdx_log_scan(VhdxLog *l, Err *err)
{
        uint8_t page[VHDX_PAGE];
        uint64_t step = VHDX_PAGE;

        for (uint64_t at = 0; at < l->len; at += step) {
                VhdxLogEntry e;
                step = VHDX_PAGE;
                int r = vhdx_log_read(l, at, page);
                if (r >= 0)
                        r = vhdx_log_parse(l, at, page, &e);
                if (r == 1)
                        r = vhdx_log_verify(l, &e, page);
                if (r < 0)
                        return err_set(err, -r, "cannot read the log: %m");
                if (r == 0 && l->looked > VHDX_LOG_LOOKS * l->len)
                        return err_set(err, EFBIG,
                                       "the log has too many entries that lie over each other");
                if (r == 0)
                        continue;
                r = vhdx_log_add(l, &e, err);
                if (r < 0)
                        return r;
                step = e.len;
        }
        return 0;
}

static size_t vhdx_log_before(const VhdxLog *l, size_t i)
{
        return i == 0 ? l->count - 1 : i - 1;
}

/* Does entry `next` go on where entry `i` ends? */
static bool vhdx_log_follows(const VhdxLog *l, size_t i, size_t next)
{
        const VhdxLogEntry *a = &l->entries[i], *b = &l->entries[next];

        return (a->at + a->len) % l->len == b->at && b->sequence == a->sequence + 1;
}

/* Goes back from a head to its tail: how many entries that are, 0 when the tail is not reached. */
static size_t vhdx_log_sequence_len(const VhdxLog *l, size_t head, size_t *ret_first)
{
        size_t i = head, count = 1;

        while (l->entries[i].at != l->entries[head].tail) {
                size_t before = vhdx_log_before(l, i);
                if (count == l->count || !vhdx_log_follows(l, before, i))
                        return 0;
                i = before;
                count++;
        }
        *ret_first = i;
        return count;
}

/* The active sequence. -EBADMSG: there are entries, and none. */
static int vhdx_log_find_active(const VhdxLog *l, size_t *ret_first, size_t *ret_count, Err *err)
{
        uint64_t highest = 0;

        for (size_t i = 0; i < l->count; i++) {
                size_t first = 0, next = i + 1 == l->count ? 0 : i + 1;
                if (vhdx_log_follows(l, i, next) || l->entries[i].sequence <= highest)
                        continue;
                size_t count = vhdx_log_sequence_len(l, i, &first);
                if (count == 0)
                        continue;
                highest = l->entries[i].sequence;
                *ret_first = first;
                *ret_count = count;
        }
        if (highest > 0)
                return 0;
        return err_set(
                err, EBADMSG,
                "the log is in use, and none of its %zu entries is the end of a whole sequence",
                l->count);
}

/* What an entry may change: neither the headers nor the log, and nothing beyond the end that it states. */
static int vhdx_log_check_target(
        const VhdxLog *l, const VhdxLogEntry *e, uint64_t pos, uint64_t len, uint64_t end, Err *err)
{
        if (pos < VHDX_HEADERS_END && len > 0)
                return err_set(err, EBADMSG,
                               "log entry %" PRIu64 " would write over the headers, at %" PRIu64,
                               e->sequence, pos);
        if (!in_range(pos, len, end))
                return err_set(err, EBADMSG,
                               "log entry %" PRIu64 " would write %" PRIu64 " bytes at %" PRIu64
                               ", past the end of %" PRIu64 " bytes that it states",
                               e->sequence, len, pos, end);
        if (len > 0 && pos < l->pos + l->len && l->pos < pos + len)
                return err_set(err, EBADMSG,
                               "log entry %" PRIu64 " would write over the log, at %" PRIu64,
                               e->sequence, pos);
        return 0;
}

static int vhdx_log_apply_page(const VhdxLog *l,
                               const VhdxDiskDescriptor *d,
                               uint64_t at,
                               uint8_t page[VHDX_PAGE])
{
        Vhdx *v = l->node->state;
        VhdxDiskLogPage raw;
        uint8_t *to = page;

        int r = vhdx_log_read(l, at, (uint8_t *)&raw);
        if (r < 0)
                return r;
        memcpy(to, d->leading, sizeof(d->leading));
        memcpy(to + sizeof(d->leading), raw.bytes, sizeof(raw.bytes));
        memcpy(to + VHDX_PAGE - sizeof(d->trailing), d->trailing, sizeof(d->trailing));
        return patched_store_put(v->replayed, to, VHDX_PAGE, from_le64(d->file_offset));
}

/* Carries out one entry in memory. `end` is how long the file may get. */
static int vhdx_log_apply(const VhdxLog *l, const VhdxLogEntry *e, uint64_t end, Err *err)
{
        Vhdx *v = l->node->state;
        uint64_t data_at = e->at + vhdx_log_pages_at(e);
        uint8_t page[VHDX_PAGE], bytes[VHDX_PAGE];
        uint64_t loaded = UINT64_MAX;

        for (uint64_t i = 0; i < e->descriptors; i++) {
                uint64_t at = sizeof(VhdxDiskLogEntry) + i * sizeof(VhdxDiskDescriptor);
                VhdxDiskDescriptor d;
                int r = at / VHDX_PAGE == loaded
                                ? 0
                                : vhdx_log_read(l, e->at + round_down(at, VHDX_PAGE), page);
                if (r < 0)
                        return err_set(err, -r, "cannot read the log: %m");
                loaded = at / VHDX_PAGE;
                memcpy(&d, page + at % VHDX_PAGE, sizeof(d));

                bool is_page = vhdx_descriptor_is_page(&d);
                uint64_t pos = from_le64(d.file_offset);
                uint64_t len = is_page ? VHDX_PAGE : from_le64(d.zero_length);
                r = vhdx_log_check_target(l, e, pos, len, end, err);
                if (r < 0)
                        return r;
                r = is_page ? vhdx_log_apply_page(l, &d, data_at, bytes)
                            : patched_store_put(v->replayed, NULL, len, pos);
                if (r < 0)
                        return err_set(err, -r, "cannot replay log entry %" PRIu64 ": %m",
                                       e->sequence);
                data_at += is_page ? VHDX_PAGE : 0;
        }
        return 0;
}

/* How long the file is at least when the log has been carried out. */
static int vhdx_log_check_sizes(const VhdxLog *l, const VhdxLogEntry *head, uint64_t *ret, Err *err)
{
        uint64_t size = 0;

        int r = store_get_size(l->node->store, &size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        if (size < head->flushed)
                return err_set(err, EBADMSG,
                               "the file has %" PRIu64
                               " bytes, and when its log was written it had %" PRIu64
                               " (FlushedFileOffset)",
                               size, head->flushed);
        if (head->last > LIMIT_DISK_SIZE)
                return err_set(err, EBADMSG, "log: LastFileOffset %" PRIu64 " is beyond any file",
                               head->last);
        *ret = u64_max(size, round_up(head->last, VHDX_UNIT));
        return 0;
}

/* Memory for what the active entries put into the place of the file's bytes. */
static int vhdx_log_reserve(const VhdxLog *l, size_t first, size_t count, Err *err)
{
        uint64_t patches = 0, pages = 0;

        for (size_t i = 0; i < count; i++) {
                const VhdxLogEntry *e = &l->entries[(first + i) % l->count];
                patches += e->descriptors;
                pages += e->pages;
        }
        if (2 * patches > PATCHED_MAX)
                return err_set(err, EFBIG,
                               "the log waits to change %" PRIu64
                               " places, more than the limit of %d",
                               patches, PATCHED_MAX / 2);
        return vhdx_reserve(l->node, patches * PATCHED_COST + pages * VHDX_PAGE, "log", err);
}

static int vhdx_log_apply_all(const VhdxLog *l, size_t first, size_t count, Err *err)
{
        Vhdx *v = l->node->state;
        const VhdxLogEntry *head = &l->entries[(first + count - 1) % l->count];
        uint64_t end = 0;

        int r = vhdx_log_check_sizes(l, head, &end, err);
        if (r >= 0)
                r = vhdx_log_reserve(l, first, count, err);
        if (r < 0)
                return r;
        r = patched_store_new(l->node->store, &v->replayed);
        if (r < 0)
                return err_set(err, -r, "%m");
        patched_store_extend(v->replayed, end);
        for (size_t i = 0; i < count && r >= 0; i++)
                r = vhdx_log_apply(l, &l->entries[(first + i) % l->count], end, err);
        v->log_entries = count;
        v->store = v->replayed;
        return r;
}

static int vhdx_log_check_place(Node *n, Err *err)
{
        const Vhdx *v = n->state;
        uint64_t size = 0;

        if (v->header.log_len > VHDX_LOG_LEN_MAX)
                return err_set(err, EFBIG, "LogLength %" PRIu64 " is more than the limit of %d",
                               v->header.log_len, VHDX_LOG_LEN_MAX);
        int r = store_get_size(n->store, &size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        if (!in_range(v->header.log_pos, v->header.log_len, size))
                return err_set(err, EBADMSG,
                               "the log is in use, and with LogOffset %" PRIu64
                               " and LogLength %" PRIu64 " it is not within the file (%" PRIu64
                               " bytes)",
                               v->header.log_pos, v->header.log_len, size);
        return 0;
}

int vhdx_log_open(Node *n, Err *err)
{
        Vhdx *v = n->state;
        size_t first = 0, count = 0;
        _cleanup_log_ VhdxLog l = {
                .node = n,
                .pos = v->header.log_pos,
                .len = v->header.log_len,
                .guid = uuid_to_guid(v->header.log),
        };

        v->store = n->store;
        if (uuid_is_zero(&v->header.log))
                return 0;
        int r = vhdx_log_check_place(n, err);
        if (r >= 0)
                r = vhdx_log_scan(&l, err);
        /* Who crashed after it had named the log, and before the first entry, has changed nothing yet. */
        if (r < 0 || l.count == 0)
                return r;
        r = vhdx_log_find_active(&l, &first, &count, err);
        return r < 0 ? r : vhdx_log_apply_all(&l, first, count, err);
}

static void vhdx_log_step(void *report, uint64_t done)
{
        check_step(report, done);
}

int vhdx_log_replay(Node *n, CheckReport *report, Err *err)
{
        Vhdx *v = n->state;
        int r = 0;

        if (v->replayed) {
                check_begin_pass(report, "repairing", patched_store_get_len(v->replayed));
                r = patched_store_apply(v->replayed, vhdx_log_step, report);
        }
        if (r >= 0)
                r = store_sync(n->store);
        if (r < 0)
                return err_set(err, -r, "cannot replay the log: %m");

        /* Both headers say so in the end, as if nothing had happened. */
        v->header.log = (Uuid){ { 0 } };
        for (int i = 0; i < 2 && r >= 0; i++) {
                r = vhdx_header_write(n);
                if (r >= 0)
                        r = store_sync(n->store);
        }
        if (r < 0)
                return err_set(err, -r, "cannot say that the log is empty: %m");
        v->store = n->store;
        v->replayed = store_free(v->replayed);
        v->header_lost = false;
        v->log_entries = 0;
        return 0;
}
