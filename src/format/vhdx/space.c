/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vhdx/space.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        VHDX_SURVEY_ENTRIES = 8192, /* read at a time */
};

int vhdx_space_init(Node *n, VhdxSpace *s, uint64_t count, Err *err)
{
        uint64_t bytes = count / 8 + 1;

        int r = vhdx_reserve(n, bytes, "map of the file's space", err);
        if (r < 0)
                return r;
        s->used = calloc(1, (size_t)bytes);
        if (!s->used)
                return err_set(err, ENOMEM, "%m");
        s->count = s->free = count;
        s->room = bytes * 8;
        return 0;
}

void vhdx_space_done(VhdxSpace *s)
{
        free(s->used);
        *s = (VhdxSpace){ 0 };
}

int vhdx_space_grow(Node *n, VhdxSpace *s, uint64_t count)
{
        if (count > s->room) {
                uint64_t old = s->room / 8, bytes = u64_max(count / 8 + 1, 2 * old);
                if (vhdx_reserve(n, bytes - old, "map", NULL) < 0)
                        return -ENOSPC;
                uint8_t *grown = realloc(s->used, (size_t)bytes);
                if (!grown)
                        return -ENOSPC;
                memset(grown + old, 0, (size_t)(bytes - old));
                s->used = grown;
                s->room = bytes * 8;
        }
        s->free += count - s->count;
        s->count = count;
        return 0;
}

static bool vhdx_space_is_used(const VhdxSpace *s, uint64_t i)
{
        return s->used[i / 8] >> (i % 8) & 1;
}

bool vhdx_space_take(VhdxSpace *s, uint64_t first, uint64_t count)
{
        uint64_t taken = 0;

        for (uint64_t i = first; i < first + count; i++) {
                taken += !vhdx_space_is_used(s, i);
                s->used[i / 8] |= (uint8_t)(1 << i % 8);
        }
        s->free -= taken;
        return taken == count;
}

void vhdx_space_give(VhdxSpace *s, uint64_t first, uint64_t count)
{
        for (uint64_t i = first; i < first + count; i++) {
                s->free += vhdx_space_is_used(s, i);
                s->used[i / 8] &= (uint8_t) ~(1 << i % 8);
        }
}

bool vhdx_space_find(const VhdxSpace *s, uint64_t from, uint64_t count, uint64_t *ret)
{
        uint64_t row = 0;

        for (uint64_t i = from; i < s->count; i++) {
                if (i % 8 == 0 && s->used[i / 8] == 0xff) {
                        row = 0;
                        i += 7;
                        continue;
                }
                row = vhdx_space_is_used(s, i) ? 0 : row + 1;
                if (row == count) {
                        *ret = i + 1 - count;
                        return true;
                }
        }
        return false;
}

/* One walk through the BAT. */
typedef struct VhdxWalk {
        Node *node;
        VhdxSpace *space;
        CheckReport *report; /* NULL: the first finding ends it */
        CheckReport *steps;  /* who hears how far it is */
        Err *err;
        VhdxSurvey survey;
        uint64_t next;     /* where a block would lie that follows the one before */
        bool wants_bitmap; /* a block of this chunk is partially present */
        bool has_kept;     /* there are places that are kept for blocks without data */
} VhdxWalk;

__attribute__((format(printf, 2, 3))) static int vhdx_complain(VhdxWalk *w, const char *fmt, ...)
{
        char text[200];
        va_list args;

        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        if (!w->report)
                return err_set(w->err, EBADMSG, "%s", text);
        check_corruption(w->report, "%s", text);
        return 0;
}

/* Takes what lies at `pos`. `name` and `number` say whose it is. */
static int vhdx_walk_take(
        VhdxWalk *w, uint64_t pos, uint64_t len, const char *name, uint64_t number)
{
        if (pos < VHDX_UNIT || pos / VHDX_UNIT >= w->space->count)
                return vhdx_complain(w,
                                     "%s %" PRIu64 " lies at %" PRIu64
                                     ", within the headers or past the end of the file",
                                     name, number, pos);
        uint64_t first = pos / VHDX_UNIT;
        uint64_t count = u64_min(len / VHDX_UNIT, w->space->count - first);
        w->survey.end = u64_max(w->survey.end, pos + len);
        if (vhdx_space_take(w->space, first, count))
                return 0;
        return vhdx_complain(w, "%s %" PRIu64 " lies at %" PRIu64 ", over something else", name,
                             number, pos);
}

static int vhdx_walk_block(VhdxWalk *w, uint64_t block, uint64_t entry)
{
        const Vhdx *v = w->node->state;
        uint64_t pos = entry & VHDX_ENTRY_POS, state = entry & VHDX_ENTRY_STATE;
        uint64_t len = vhdx_block_size(v);

        w->survey.blocks++;
        if (entry & VHDX_ENTRY_RESERVED)
                return vhdx_complain(w, "block %" PRIu64 ": reserved bits of its entry are set",
                                     block);
        if (state == VHDX_FULLY_PRESENT || (state == VHDX_PARTIALLY_PRESENT && v->has_parent)) {
                w->wants_bitmap = w->wants_bitmap || state == VHDX_PARTIALLY_PRESENT;
                w->survey.fragments += w->survey.present > 0 && pos != w->next;
                w->survey.present++;
                w->next = pos + len;
                return vhdx_walk_take(w, pos, len, "block", block);
        }
        if (state == VHDX_PARTIALLY_PRESENT || state == VHDX_RESERVED_STATE)
                return vhdx_complain(w, "block %" PRIu64 " has the state %" PRIu64, block, state);
        w->has_kept = w->has_kept || pos != 0;
        return 0;
}

/* A place that is kept for a block without data is not for others; where it cannot be one, it is none. */
static void vhdx_walk_kept(VhdxWalk *w, uint64_t entry)
{
        uint64_t first = (entry & VHDX_ENTRY_POS) / VHDX_UNIT, state = entry & VHDX_ENTRY_STATE;
        uint64_t count = vhdx_block_size(w->node->state) / VHDX_UNIT;

        if (first > 0 && state != VHDX_FULLY_PRESENT && state != VHDX_PARTIALLY_PRESENT &&
            in_range(first, count, w->space->count))
                (void)vhdx_space_take(w->space, first, count);
}

static int vhdx_walk_bitmap(VhdxWalk *w, uint64_t chunk, uint64_t entry)
{
        bool wanted = w->wants_bitmap;

        w->wants_bitmap = false;
        if ((entry & VHDX_ENTRY_STATE) == VHDX_FULLY_PRESENT)
                return vhdx_walk_take(w, entry & VHDX_ENTRY_POS, VHDX_UNIT, "sector bitmap", chunk);
        if (wanted)
                return vhdx_complain(w,
                                     "sector bitmap %" PRIu64
                                     " is not there, and a block is partially present",
                                     chunk);
        return 0;
}

/* In the first walk all that has data, in the second what is kept. */
static int vhdx_walk_entry(VhdxWalk *w, bool kept, uint64_t index, uint64_t entry)
{
        const Vhdx *v = w->node->state;
        uint64_t chunk = index / ((UINT64_C(1) << v->chunk_bits) + 1);

        if (kept) {
                vhdx_walk_kept(w, entry);
                return 0;
        }
        if (index == vhdx_bitmap_index(v, chunk << v->chunk_bits))
                return vhdx_walk_bitmap(w, chunk, entry);
        uint64_t block = index - chunk;
        return block < vhdx_block_count(v, w->node->size) ? vhdx_walk_block(w, block, entry) : 0;
}

static int vhdx_walk_entries(VhdxWalk *w, bool kept, le64 *entries)
{
        const Vhdx *v = w->node->state;
        uint64_t count = vhdx_entry_count(v, w->node->size);

        check_begin_pass(w->steps, "checking", count);
        for (uint64_t index = 0; index < count; index += VHDX_SURVEY_ENTRIES) {
                check_step(w->steps, index);
                uint64_t part = u64_min(VHDX_SURVEY_ENTRIES, count - index);
                uint64_t pos = v->bat.pos + index * sizeof(*entries);
                int r = store_read_padded(v->store, entries, (size_t)part * sizeof(*entries), pos);
                if (r < 0)
                        return err_set(w->err, -r, "BAT: cannot read it: %m");
                for (uint64_t i = 0; i < part && r >= 0; i++)
                        r = vhdx_walk_entry(w, kept, index + i, from_le64(entries[i]));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The headers, the log and the regions, as far as the file reaches; those that matter do not lie over each other. */
static void vhdx_walk_fixed(VhdxWalk *w)
{
        const Vhdx *v = w->node->state;
        VhdxRange log = { v->header.log_pos, v->header.log_len }, head = { 0, VHDX_UNIT };

        for (size_t i = 0; i < v->region_count + 2; i++) {
                const VhdxRange *range = i == 0 ? &head : i == 1 ? &log : &v->regions[i - 2];
                uint64_t first = u64_min(range->pos / VHDX_UNIT, w->space->count);
                uint64_t count = u64_min(range->len / VHDX_UNIT, w->space->count - first);
                (void)vhdx_space_take(w->space, first, count);
                w->survey.end = u64_max(w->survey.end, (first + count) * VHDX_UNIT);
        }
}

int vhdx_survey(Node *n, VhdxSpace *s, CheckReport *report, VhdxSurvey *ret, Err *err)
{
        const Vhdx *v = n->state;
        CheckReport own = check_report_of(n, CHECK_LOOK);
        VhdxWalk w = { .node = n, .space = s, .report = report, .err = err };
        _cleanup_free_ le64 *entries = calloc(VHDX_SURVEY_ENTRIES, sizeof(*entries));
        uint64_t len = vhdx_entry_count(v, n->size) * sizeof(*entries);

        if (!entries)
                return err_set(err, ENOMEM, "%m");
        w.steps = report ? report : &own;
        vhdx_walk_fixed(&w);
        if (!in_range(v->bat.pos, len, v->file_size)) {
                int r = vhdx_complain(&w, "the BAT ends past the end of the file");
                if (r < 0)
                        return r;
        }
        int r = vhdx_walk_entries(&w, false, entries);
        if (r >= 0 && w.has_kept)
                r = vhdx_walk_entries(&w, true, entries);
        *ret = w.survey;
        return r;
}
