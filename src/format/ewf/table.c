/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where chunks lie. A table has a checksum for its header, which is compared when the image is opened, and one for its
 * entries, which is compared when the first of them is wanted: the tables of a large image are a hundred MiB together. Each
 * is there twice, so that one may be damaged.
 */
#include "block/table.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "codec/sum.h"
#include "format/ewf/ewf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        EWF_TABLES_STEP = 64,
        EWF_SCAN_LEN = 65536,
};

/* The header. 1: it is what was written. 0: its checksum is wrong. */
static int ewf_read_table(const EwfSection *s, uint32_t *ret_count, EwfEntries *ret, Err *err)
{
        EwfDiskTable t;

        int r = ewf_read_section_part(s, 0, &t, sizeof(t), err);
        if (r < 0)
                return r;
        if (from_le32(t.sum) != ewf_sum(&t, offsetof(EwfDiskTable, sum)))
                return 0;
        uint32_t count = from_le32(t.count);
        uint64_t len = (uint64_t)count * sizeof(le32);
        if (len > LIMIT_TABLE_SIZE)
                return err_set(err, EFBIG,
                               "section %s at %" PRIu64 ": %" PRIu32
                               " entries are more than the limit of %" PRIu64 " bytes",
                               s->type, s->pos, count, LIMIT_TABLE_SIZE);
        EwfEntries entries = { s->pos + EWF_SECTION_LEN + EWF_TABLE_LEN, from_le64(t.base) };
        if (!in_range(entries.pos, len + EWF_SUM_LEN, s->end))
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64 ": it ends before its %" PRIu32 " entries",
                               s->type, s->pos, count);
        if (entries.base > INT64_MAX)
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64 ": base offset %" PRIu64
                               " is no place in a file",
                               s->type, s->pos, entries.base);
        if (!in_range(entries.pos, len + EWF_SUM_LEN, s->file_size))
                return -ENODATA;
        *ret_count = count;
        *ret = entries;
        return 1;
}

static int ewf_grow_tables(Node *n, Err *err)
{
        Ewf *e = n->state;
        uint64_t len = EWF_TABLES_STEP * sizeof(EwfTable);

        if (e->table_count < e->table_room)
                return 0;
        int r = table_reserve(n->cache, len, "the list of tables", err);
        if (r < 0)
                return r;
        e->reserved += len;
        EwfTable *grown = reallocarray(e->tables, e->table_room + EWF_TABLES_STEP, sizeof(*grown));
        if (!grown)
                return err_set(err, ENOMEM, "%m");
        e->tables = grown;
        e->table_room += EWF_TABLES_STEP;
        return 0;
}

static int ewf_add_table(Node *n, const EwfTable *t, Err *err)
{
        Ewf *e = n->state;

        int r = t->count == 0 ? 0 : ewf_grow_tables(n, err);
        if (r < 0 || t->count == 0)
                return r;
        e->tables[e->table_count] = *t;
        e->tables[e->table_count++].first = e->table_chunks;
        e->table_chunks += t->count;
        return 0;
}

static int ewf_check_chunks(const Ewf *e, const EwfSection *s, Err *err)
{
        if (!e->has_volume)
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64
                               " comes before it is said how large the disk is",
                               s->type, s->pos);
        if (e->data_end == 0)
                return err_set(err, EOPNOTSUPP,
                               "section %s at %" PRIu64
                               " has the chunks in it, as EnCase 1 and SMART wrote them",
                               s->type, s->pos);
        return 0;
}

int ewf_take_table(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        EwfTable t = { .store = s->store, .data_pos = e->data_pos, .data_end = e->data_end };

        int r = ewf_check_chunks(e, s, err);
        if (r >= 0)
                r = ewf_read_table(s, &t.count, &t.entries, err);
        if (r < 0)
                return r;
        e->expects_copy = true;
        if (r > 0)
                return ewf_add_table(n, &t, err);
        e->broken_table = s->pos;
        return 0;
}

/* Takes the place of a table that is damaged, or is kept for when it turns out that it is. */
int ewf_take_copy(Node *n, const EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        EwfTable t = { .store = s->store, .data_pos = e->data_pos, .data_end = e->data_end };

        if (!e->expects_copy)
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64 " does not follow the table that it copies",
                               s->type, s->pos);
        e->expects_copy = false;
        int r = ewf_read_table(s, &t.count, &t.copy, err);
        if (r < 0)
                return r;
        if (e->broken_table != 0) {
                if (r == 0)
                        return ewf_end_table(e, err);
                e->broken_table = 0;
                return ewf_add_table(n, &t, err);
        }
        EwfTable *last = e->table_count > 0 ? &e->tables[e->table_count - 1] : NULL;
        if (r > 0 && last && last->count == t.count)
                last->copy = t.copy;
        return 0;
}

int ewf_end_table(Ewf *e, Err *err)
{
        e->expects_copy = false;
        if (e->broken_table == 0)
                return 0;
        return err_set(err, EBADMSG,
                       "section table at %" PRIu64
                       ": the checksum of its header is wrong, and there is no sound copy",
                       e->broken_table);
}

/* Which entry begins the part in which all 32 bits are an offset: EnCase 6.7 went on so beyond 2 GiB. Nothing else makes an
 * offset without its highest bit smaller than the one before, and one with it greater. */
typedef struct EwfScan {
        uint32_t last, overflow_from, sum;
        bool overflows;
} EwfScan;

static void ewf_scan_piece(EwfScan *scan, const le32 *entries, uint32_t at, uint32_t count)
{
        scan->sum = adler32_over(scan->sum, entries, count * sizeof(le32));
        for (uint32_t i = 0; i < count && !scan->overflows; i++) {
                uint32_t entry = from_le32(entries[i]), off = entry & ~EWF_COMPRESSED;
                if (off < scan->last && entry >= scan->last) {
                        scan->overflows = true;
                        scan->overflow_from = at + i;
                }
                scan->last = off;
        }
}

/* 1: they are what was written. 0: they are not, or the place is empty. */
static int ewf_scan_entries(EwfTable *t, const EwfEntries *entries, le32 *piece)
{
        EwfScan scan = { .overflow_from = UINT32_MAX, .sum = 1 };
        uint32_t step = EWF_SCAN_LEN / sizeof(le32);
        le32 sum;

        if (entries->pos == 0)
                return 0;
        for (uint32_t at = 0; at < t->count; at += step) {
                uint32_t count = (uint32_t)u64_min(step, t->count - at);
                int r = store_read(t->store, piece, count * sizeof(*piece),
                                   entries->pos + (uint64_t)at * sizeof(*piece));
                if (r < 0)
                        return r == -ENODATA ? 0 : r;
                ewf_scan_piece(&scan, piece, at, count);
        }
        int r = store_read(t->store, &sum, sizeof(sum),
                           entries->pos + (uint64_t)t->count * sizeof(le32));
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        t->overflow_from = scan.overflow_from;
        return from_le32(sum) == scan.sum;
}

static int ewf_choose_entries(EwfTable *t)
{
        _cleanup_free_ le32 *piece = malloc(EWF_SCAN_LEN);
        if (!piece)
                return -ENOMEM;

        int r = ewf_scan_entries(t, &t->entries, piece);
        if (r < 0)
                return r;
        t->trust = EWF_FIRST;
        if (r > 0)
                return 0;
        r = ewf_scan_entries(t, &t->copy, piece);
        /* Asked again, it may be another answer: what could not be read is not damaged for good. */
        t->trust = r < 0 ? EWF_UNKNOWN : r > 0 ? EWF_COPY : EWF_NEITHER;
        return r < 0 ? r : 0;
}

/* Which of the two places to believe. -EIO: neither. */
static int ewf_trust_table(Ewf *e, EwfTable *t, EwfEntries *ret, uint32_t *ret_overflow_from)
{
        int r = 0;

        LOCKED(&e->lock)
        {
                if (t->trust == EWF_UNKNOWN)
                        r = ewf_choose_entries(t);
                if (r == 0 && t->trust == EWF_NEITHER)
                        r = -EIO;
                *ret = t->trust == EWF_COPY ? t->copy : t->entries;
                *ret_overflow_from = t->overflow_from;
        }
        return r;
}

typedef struct EwfPiece {
        Store *store;
        uint64_t pos;
} EwfPiece;

static int ewf_load_piece(void *arg, const CacheKey *key, void *buf, size_t len)
{
        const EwfPiece *piece = arg;

        return store_read_padded(piece->store, buf, len, piece->pos);
}

/* Of the table of number `number`, at `pos`: the key is unique, since each entry stands for one chunk. */
static int ewf_get_entry(
        Node *n, const EwfTable *t, const EwfEntries *entries, uint32_t index, uint32_t *ret)
{
        const Ewf *e = n->state;
        uint64_t at = (uint64_t)index * sizeof(le32);
        EwfPiece piece = { t->store, entries->pos + round_down(at, EWF_PIECE_LEN) };
        CacheKey key = {
                .owner = n,
                .kind = EWF_CACHE_TABLE,
                .at = (uint64_t)(t - e->tables) << 32 | round_down(at, EWF_PIECE_LEN),
        };
        CacheEntry *entry = NULL;
        le32 raw;

        int r = cache_get(n->cache, &key, EWF_PIECE_LEN, ewf_load_piece, &piece, &entry);
        if (r < 0)
                return r;
        memcpy(&raw, (uint8_t *)cache_entry_bytes(entry) + at % EWF_PIECE_LEN, sizeof(raw));
        cache_put(n->cache, entry);
        *ret = from_le32(raw);
        return 0;
}

static EwfTable *ewf_find_table(Ewf *e, uint64_t index)
{
        size_t low = 0, high = e->table_count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (e->tables[middle].first + e->tables[middle].count <= index)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < e->table_count ? &e->tables[low] : NULL;
}

int ewf_find_chunk(Node *n, uint64_t index, EwfPlace *ret)
{
        Ewf *e = n->state;
        EwfTable *t = ewf_find_table(e, index);
        uint32_t overflow_from = 0, entry = 0, next = 0;
        EwfEntries entries = { 0 };

        if (!t)
                return -EIO;
        int r = ewf_trust_table(e, t, &entries, &overflow_from);
        if (r < 0)
                return r;
        uint32_t i = (uint32_t)(index - t->first);
        bool is_last = i + 1 == t->count;
        r = ewf_get_entry(n, t, &entries, i, &entry);
        if (r >= 0 && !is_last)
                r = ewf_get_entry(n, t, &entries, i + 1, &next);
        if (r < 0)
                return r;

        bool is_compressed = i < overflow_from && (entry & EWF_COMPRESSED);
        if (i < overflow_from)
                entry &= ~EWF_COMPRESSED;
        if (i + 1 < overflow_from)
                next &= ~EWF_COMPRESSED;
        uint64_t pos = entries.base + entry;
        uint64_t end = is_last ? t->data_end : entries.base + next;
        if (pos < t->data_pos || pos >= end || end > t->data_end)
                return -EIO;
        /* zlib makes nothing longer by much; what lies further on belongs to nobody. */
        *ret = (EwfPlace){ t->store, pos, u64_min(end - pos, 2 * (uint64_t)e->chunk_len),
                           is_compressed };
        return 0;
}
