/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table is sound when each entry leads to a place of its own within the file. */
#include "block/flat-check.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/flat-writer.h"
#include "block/limits.h"
#include "block/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        COPY_MAX = 256 * 1024,
};

/* What an entry turns out to be. */
typedef enum FlatFinding {
        FLAT_EMPTY,
        FLAT_SOUND,
        FLAT_LOST,   /* leads to where no block can be, or past the end of the file */
        FLAT_CUT,    /* its block begins in the file, which ends before it does */
        FLAT_ASKEW,  /* lies in no place, but between them */
        FLAT_SHARED, /* another entry leads there as well */
} FlatFinding;

/* Goes through all entries that there are. */
typedef int (*FlatVisit)(FlatCheck *c, uint64_t index, uint32_t entry);

static int flat_check_walk(FlatCheck *c, FlatVisit visit)
{
        uint64_t index = 0, end = flat_present(c->flat);

        while (index < end) {
                uint32_t entries[FLAT_PIECE_ENTRIES];
                uint64_t count = 0;
                int r = flat_read_entries(c->node, c->flat, index, end - index, entries, &count);
                if (r < 0)
                        return err_set(&c->report->err, -r, "cannot read %s: %m",
                                       c->flat->kind->table);
                for (uint64_t i = 0; i < count; i++) {
                        r = visit(c, index + i, entries[i]);
                        if (r < 0)
                                return r;
                }
                index += count;
                check_step(c->report, index);
        }
        return 0;
}

int flat_check_begin(FlatCheck *c, Node *n, const Flat *f, CheckReport *report)
{
        *c = (FlatCheck){ .node = n, .flat = f, .report = report, .file_size = f->file_size };

        uint64_t len = f->file_size - u64_min(f->file_size, f->first_pos);
        c->room = u64_min(div_round_up(len, f->stride), f->place_max) + f->count;
        uint64_t bytes = div_round_up(c->room, 8);
        int r = table_reserve(n->cache, 2 * bytes, "the places of the image", &report->err);
        if (r < 0)
                return r;
        c->reserved = 2 * bytes;
        c->used = calloc(1, (size_t)bytes + 1);
        c->seen = calloc(1, (size_t)bytes + 1);
        return c->used && c->seen ? 0 : err_set(&report->err, ENOMEM, "%m");
}

void flat_check_done(FlatCheck *c)
{
        free(c->used);
        free(c->seen);
        if (c->reserved > 0)
                cache_release(c->node->cache, c->reserved);
}

int flat_check_sync(FlatCheck *c)
{
        int r = node_sync(c->node);
        return r < 0 ? err_set(&c->report->err, -r, "cannot sync the image: %m") : 0;
}

/* `bits` has the places of the entries before this one. */
static FlatFinding flat_judge(
        FlatCheck *c, uint8_t *bits, uint32_t entry, uint64_t *ret_pos, uint64_t *ret_place)
{
        const Flat *f = c->flat;

        int r = f->kind->locate(f, entry, ret_pos);
        if (r == 0)
                return FLAT_EMPTY;
        if (r < 0 || *ret_pos >= c->file_size)
                return FLAT_LOST;
        if (!flat_find_place(f, *ret_pos, ret_place) || *ret_place >= c->room)
                return FLAT_ASKEW;
        if (flat_bit_is_set(bits, *ret_place))
                return FLAT_SHARED;
        return in_range(*ret_pos, f->block_size, c->file_size) ? FLAT_SOUND : FLAT_CUT;
}

/* What a block lies in, or between, is not free. */
static void flat_note_place(FlatCheck *c, uint64_t pos)
{
        const Flat *f = c->flat;
        uint64_t first = (pos - u64_min(pos, flat_place_pos(f, 0))) / f->stride;
        uint64_t end = div_round_up(pos + f->block_size - f->first_pos, f->stride);

        for (uint64_t place = first; place < u64_min(end, c->room); place++)
                flat_bit_set(c->used, place);
        c->used_count++;
        c->place_end = u64_max(c->place_end, end);
}

static int flat_count_finding(FlatCheck *c)
{
        if (++c->found <= LIMIT_CHECK_ENTRIES / LIMIT_CHECK_FINDING)
                return 0;
        return err_set(&c->report->err, EFBIG,
                       "more is damaged than the limit of %" PRIu64 " entries",
                       LIMIT_CHECK_ENTRIES / LIMIT_CHECK_FINDING);
}

static int flat_look_at(FlatCheck *c, uint64_t index, uint32_t entry)
{
        static const char *const texts[] = {
                [FLAT_LOST] = "leads to where no block can be",
                [FLAT_CUT] = "leads to a place that the file ends within",
                [FLAT_ASKEW] = "leads to between the places of others",
                [FLAT_SHARED] = "is that of another block as well",
        };
        uint64_t pos = 0, place = 0;
        FlatFinding found = flat_judge(c, c->used, entry, &pos, &place);

        if (found == FLAT_EMPTY)
                return 0;
        if (found == FLAT_SOUND || found == FLAT_CUT || found == FLAT_ASKEW)
                flat_note_place(c, pos);
        if (found == FLAT_SOUND)
                return 0;
        check_corruption(c->report, "ERROR block %" PRIu64 ": its entry %" PRIu32 " in %s %s",
                         index, entry, c->flat->kind->table, texts[found]);
        return flat_count_finding(c);
}

int flat_check_look(FlatCheck *c)
{
        const Flat *f = c->flat;

        memset(c->used, 0, (size_t)div_round_up(c->room, 8));
        c->used_count = c->place_end = c->found = 0;
        c->has_missing = flat_present(f) < f->count;
        int r = store_get_size(c->node->store, &c->file_size);
        if (r < 0)
                return err_set(&c->report->err, -r, "cannot get the size of the file: %m");
        if (c->has_missing)
                check_corruption(c->report, "ERROR the file ends before entry %" PRIu64 " of %s",
                                 flat_present(f), f->kind->table);
        check_begin_pass(c->report, "checking", c->flat->count);
        r = flat_check_walk(c, flat_look_at);
        if (r < 0)
                return r;
        c->report->total_clusters = div_round_up(c->node->size, f->block_size);
        c->report->allocated_clusters = c->used_count;
        return 0;
}

static int flat_mend_entry(FlatCheck *c, uint64_t index, uint32_t entry)
{
        le32 disk = to_le32(entry);

        int r = store_write(c->node->store, &disk, sizeof(disk),
                            c->flat->table_pos + index * FLAT_ENTRY_LEN);
        return r < 0 ? err_set(&c->report->err, -r, "cannot write %s: %m", c->flat->kind->table)
                     : 0;
}

static int flat_copy_block(FlatCheck *c, uint64_t from, uint64_t to)
{
        uint64_t len = c->flat->block_size;
        _cleanup_free_ void *copy = malloc((size_t)u64_min(len, COPY_MAX));
        int r = copy ? 0 : -ENOMEM;

        for (uint64_t done = 0; done < len && r >= 0; done += COPY_MAX) {
                size_t part = (size_t)u64_min(len - done, COPY_MAX);
                r = store_read_padded(c->node->store, copy, part, from + done);
                if (r >= 0)
                        r = store_write(c->node->store, copy, part, to + done);
        }
        return r < 0 ? err_set(&c->report->err, -r, "cannot copy a block: %m") : 0;
}

/* A copy is on the disk before the entry says so. */
static int flat_move_block(FlatCheck *c, uint64_t index, uint64_t pos)
{
        const Flat *f = c->flat;
        uint64_t place = 0;

        while (place < c->room && flat_bit_is_set(c->used, place))
                place++;
        if (place >= u64_min(c->room, f->place_max)) {
                check_tell(c->report, "There is no free place for block %" PRIu64, index);
                return 0;
        }
        int r = flat_copy_block(c, pos, flat_place_pos(f, place));
        if (r >= 0)
                r = flat_check_sync(c);
        if (r >= 0)
                r = flat_mend_entry(c, index, f->kind->entry(f, place));
        if (r >= 0)
                flat_bit_set(c->used, place);
        return r;
}

static int flat_lengthen_file(FlatCheck *c, uint64_t end)
{
        int r = store_set_size(c->node->store, end);
        if (r == -EOPNOTSUPP) {
                check_tell(c->report, "A device cannot be made longer");
                return 0;
        }
        if (r < 0)
                return err_set(&c->report->err, -r, "cannot make the file longer: %m");
        c->file_size = end;
        return 0;
}

static int flat_mend_at(FlatCheck *c, uint64_t index, uint32_t entry)
{
        const Flat *f = c->flat;
        uint64_t pos = 0, place = 0;
        FlatFinding found = flat_judge(c, c->seen, entry, &pos, &place);

        if (found == FLAT_SOUND || found == FLAT_CUT)
                flat_bit_set(c->seen, place);
        if (found == FLAT_SOUND)
                return place < c->limit ? 0 : flat_move_block(c, index, pos);
        if (found == FLAT_EMPTY || c->report->repair != CHECK_REPAIR_ALL)
                return 0;
        if (found == FLAT_LOST)
                return flat_mend_entry(c, index, f->kind->empty);
        if (found == FLAT_CUT)
                return flat_lengthen_file(c, pos + f->block_size);
        return flat_move_block(c, index, pos);
}

bool flat_check_is_free(const FlatCheck *c, uint64_t pos, uint64_t len)
{
        return flat_bits_are_free(c->flat, c->used, c->room, pos, len);
}

void flat_check_append_only(FlatCheck *c)
{
        const Flat *f = c->flat;

        for (uint64_t i = 0; i < c->room && flat_place_pos(f, i) - f->lead < c->file_size; i++)
                flat_bit_set(c->used, i);
}

int flat_check_mend(FlatCheck *c, uint64_t limit)
{
        c->limit = limit;
        memset(c->seen, 0, (size_t)div_round_up(c->room, 8));
        check_begin_pass(c->report, "repairing", c->flat->count);
        int r = flat_check_walk(c, flat_mend_at);
        /* What the cache has of the table is no longer what the file has. */
        cache_drop_owner(c->node->cache, c->node);
        return r < 0 ? r : flat_check_sync(c);
}
