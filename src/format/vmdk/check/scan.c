/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Three walks: one that looks at each entry by itself, one over metadata in units of sectors, one over grains. A grain
 * that two entries refer to, or that lies over metadata, would be written twice.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "format/vmdk/check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_WINDOW LIMIT_CHECK_WINDOW

_Static_assert(SCAN_WINDOW % 8 == 0, "a window is whole bytes");

/* Where a grain is, if it is anywhere. */
static bool grain_place(const VmdkScan *s, uint64_t entry, uint64_t *ret_pos)
{
        VmdkGrainKind kind = VMDK_GRAIN_NONE;

        return vmdk_grain_find(s->x, entry, &kind, ret_pos) >= 0 && kind == VMDK_GRAIN_PLACE &&
               *ret_pos < vmdk_end(s->x);
}

/* The first walk. */

static int first_piece(VmdkScan *s, const char *what, uint64_t index, uint64_t pos, uint64_t len)
{
        uint64_t end = vmdk_end(s->x);

        s->used_end = u64_max(s->used_end, u64_min(end, pos + len));
        if (in_range(pos, len, end))
                return 0;
        return vmdk_found(s, "%s %" PRIu64 " at 0x%" PRIx64 " lies past the end of the file", what,
                          index, pos);
}

static int first_grain(VmdkScan *s, uint64_t index, uint64_t entry)
{
        const VmdkExtent *x = s->x;
        uint64_t end = vmdk_end(x), pos = 0;
        VmdkGrainKind kind = VMDK_GRAIN_NONE;

        int r = vmdk_grain_find(x, entry, &kind, &pos);
        if (r < 0)
                return vmdk_found(s, "the entry of grain %" PRIu64 " (0x%" PRIx64 ") is none",
                                  index, entry);
        if (kind != VMDK_GRAIN_PLACE)
                return 0;
        /* A file may end within its last grain, where the disk has ended. */
        uint64_t len = x->coded ? 1 : u64_min(x->grain, x->len - index * x->grain);
        if (s->report)
                s->report->allocated_clusters++;
        if (!in_range(pos, len, end))
                return vmdk_found(
                        s, "grain %" PRIu64 " at 0x%" PRIx64 " lies past the end of the file",
                        index, pos);
        s->positions |= pos;
        s->used_end = u64_max(s->used_end, u64_min(end, pos + (x->coded ? len : x->grain)));
        return 0;
}

static int scan_first(VmdkScan *s)
{
        static const VmdkVisitor visitor = { .piece = first_piece, .grain = first_grain };

        s->unit = 0;
        int r = vmdk_walk(s, &visitor);
        uint64_t all = s->positions | s->x->grain;
        s->unit = all & -all;
        return r;
}

/* Maps. */

/* Sets the bits of [pos, pos + len) that are in the window; were any of them set already? */
static bool map_mark(VmdkScan *s, uint8_t *map, uint64_t pos, uint64_t len)
{
        uint64_t at = pos / s->unit, end = (pos + len - 1) / s->unit + 1;
        uint64_t window_end = s->first + SCAN_WINDOW;
        bool was = false;

        if (end > window_end)
                s->next = u64_min(s->next, u64_max(at, window_end));
        at = u64_max(at, s->first);
        end = u64_min(end, window_end);
        for (; at < end; at++) {
                uint8_t *byte = &map[(at - s->first) / 8];
                uint8_t bit = (uint8_t)(1 << (at - s->first) % 8);
                was = was || (*byte & bit);
                *byte |= bit;
        }
        s->work += len / s->unit;
        return was;
}

static bool map_has(const uint8_t *map, uint64_t index)
{
        return map[index / 8] >> index % 8 & 1;
}

/* Walks once for each window in which anything lies. */
static int scan_windows(VmdkScan *s, const VmdkVisitor *visitor, int (*look)(VmdkScan *s))
{
        int r = 0;

        for (s->first = 0; r >= 0 && s->first != UINT64_MAX; s->first = s->next) {
                s->next = UINT64_MAX;
                memset(s->meta, 0, SCAN_WINDOW / 8);
                memset(s->grains, 0, SCAN_WINDOW / 8);
                r = vmdk_walk(s, visitor);
                if (r >= 0 && look)
                        r = look(s);
        }
        return r;
}

/* The second walk. */

static int second_piece(VmdkScan *s, const char *what, uint64_t index, uint64_t pos, uint64_t len)
{
        if (!map_mark(s, s->meta, pos, len))
                return 0;
        return vmdk_found(s, "%s %" PRIu64 " at 0x%" PRIx64 " lies over other metadata", what,
                          index, pos);
}

static int scan_metadata(VmdkScan *s)
{
        static const VmdkVisitor visitor = { .piece = second_piece };
        uint64_t unit = s->unit;

        s->walk = 1;
        s->unit = VMDK_SECTOR;
        int r = scan_windows(s, &visitor, NULL);
        s->unit = unit;
        return r;
}

/* The third walk. */

static int third_piece(VmdkScan *s, const char *what, uint64_t index, uint64_t pos, uint64_t len)
{
        map_mark(s, s->meta, pos, len);
        return 0;
}

/* All metadata is marked before its grains are. */
static int third_grain(VmdkScan *s, uint64_t index, uint64_t entry)
{
        uint64_t pos = 0;

        if (!grain_place(s, entry, &pos) || !map_mark(s, s->grains, pos, s->x->grain))
                return 0;
        return vmdk_found(s, "grain %" PRIu64 " at 0x%" PRIx64 " is another one as well", index,
                          pos);
}

/* So many units in a row that nothing refers to. */
static void count_leak(VmdkScan *s, uint64_t from, uint64_t count)
{
        uint64_t grains = count * s->unit / s->x->grain;

        if (grains == 0 || !s->report)
                return;
        check_leak(s->report,
                   "Leaked: %" PRIu64 " grains from 0x%" PRIx64 " on, to which nothing refers",
                   grains, from * s->unit);
        s->report->leaks += grains - 1;
}

static int third_look(VmdkScan *s)
{
        const VmdkExtent *x = s->x;
        uint64_t end = vmdk_end(x) / s->unit, window_end = u64_min(end, s->first + SCAN_WINDOW);
        /* What the header sets aside for metadata need not be used. */
        uint64_t from = u64_max(s->first, div_round_up(x->overhead, s->unit));

        for (uint64_t at = s->first; at < window_end; at++) {
                bool is_grain = map_has(s->grains, at - s->first);
                bool is_meta = map_has(s->meta, at - s->first);
                int r = 0;
                if (is_grain && is_meta)
                        r = vmdk_found(s, "a grain at 0x%" PRIx64 " lies over metadata",
                                       at * s->unit);
                if (r < 0)
                        return r;
                if ((!is_grain && !is_meta) || at < from)
                        continue;
                count_leak(s, from, at - from);
                from = at + 1;
        }
        /* What is left out up to the next window has nothing in it. */
        count_leak(s, from, u64_max(from, u64_min(end, s->next)) - from);
        return vmdk_worked(s, SCAN_WINDOW);
}

static int scan_grains(VmdkScan *s)
{
        static const VmdkVisitor visitor = { .piece = third_piece, .grain = third_grain };

        s->walk = 2;
        return scan_windows(s, &visitor, third_look);
}

int vmdk_scan(VmdkScan *s)
{
        int r = scan_first(s);

        /* Compressed grains lie at any sector, as long as they are; nobody writes there. */
        if (r < 0 || s->x->coded || s->x->kind == VMDK_SESPARSE)
                return r;
        s->meta = calloc(1, SCAN_WINDOW / 8);
        s->grains = calloc(1, SCAN_WINDOW / 8);
        r = s->meta && s->grains ? scan_metadata(s) : -ENOMEM;
        if (r >= 0)
                r = scan_grains(s);
        free(TAKE(s->meta));
        free(TAKE(s->grains));
        return r;
}

int vmdk_check_sound(Node *n, const VmdkExtent *x, Err *err)
{
        CheckReport steps = check_report_of(n, CHECK_LOOK);
        VmdkScan s = { .n = n, .x = x, .err = err, .steps = &steps };

        check_begin_pass(&steps, "checking", VMDK_CHECK_WALKS * VMDK_CHECK_STEPS);
        int r = vmdk_scan(&s);
        check_end_pass(&steps);
        if (r < 0 && r != -EUCLEAN && r != -EFBIG)
                return err_set(err, -r, "cannot look at its tables: %m");
        return r;
}
