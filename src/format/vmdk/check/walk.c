/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vmdk/check/check.h"

#include "base/bits.h"
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int vmdk_worked(VmdkScan *s, uint64_t count)
{
        s->work += count;
        if (s->work <= LIMIT_CHECK_ENTRIES)
                return 0;
        Err *err = s->report ? &s->report->err : s->err;
        return err_set(err, EFBIG, "it refers to more than can be looked at");
}

int vmdk_found(VmdkScan *s, const char *fmt, ...)
{
        const Vmdk *v = s->n->state;
        char text[256];
        va_list args;

        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        if (!s->report)
                return err_set(s->err, EUCLEAN,
                               "it is damaged (%s): it can be opened read-only; 'rawview check' "
                               "tells all",
                               text);
        check_corruption(s->report, "ERROR extent %zu: %s", (size_t)(s->x - v->extents) + 1, text);
        return vmdk_worked(s, LIMIT_CHECK_FINDING);
}

static int walk_table(
        VmdkScan *s, const VmdkVisitor *v, uint64_t index, uint64_t pos, uint64_t copy_pos)
{
        const VmdkExtent *x = s->x;
        uint64_t len = vmdk_table_len(x), first = index * x->table_count;
        uint64_t count = u64_min(x->table_count, div_round_up(x->len, x->grain) - first);
        VmdkTable table;
        int r = 0;

        if (v->piece)
                r = v->piece(s, "grain table", index, pos, len);
        if (r >= 0 && v->piece && copy_pos != 0)
                r = v->piece(s, "redundant grain table", index, copy_pos, len);
        if (r >= 0 && v->table)
                r = v->table(s, index, pos, copy_pos);
        if (r < 0 || !v->grain)
                return r;
        r = vmdk_table_get(s->n, x, pos, &table);
        if (r < 0)
                return r;
        for (uint64_t i = 0; r >= 0 && i < u64_min(count, table.held); i++)
                r = v->grain(s, first + i, vmdk_table_entry(x, &table, i));
        cache_put(s->n->cache, table.entry);
        return r < 0 ? r : vmdk_worked(s, count);
}

/* What a directory says; 0 for what is damaged, which counts in the first walk alone. */
static int walk_directory(
        VmdkScan *s, uint64_t directory_pos, const char *what, uint64_t index, uint64_t *ret_pos)
{
        int r = vmdk_directory_peek(s->n, s->x, directory_pos, index, ret_pos);

        if (r != -EBADMSG)
                return r;
        *ret_pos = 0;
        return s->unit != 0
                       ? 0
                       : vmdk_found(s,
                                    "entry %" PRIu64 " of the %s leads to where there is no table",
                                    index, what);
}

/* From *index on, to where one of the directories has an entry. What is past the end of the file is looked at one by one. */
static int walk_skip(VmdkScan *s, uint64_t *index)
{
        const VmdkExtent *x = s->x;
        uint64_t held =
                (vmdk_end(x) - u64_min(vmdk_end(x), u64_max(x->directory_pos, x->redundant_pos))) /
                x->entry_len;
        uint64_t next = *index, other = UINT64_MAX;

        if (*index >= held)
                return 0;
        int r = vmdk_directory_skip(s->n, x, x->directory_pos, *index, &next);
        if (r >= 0 && x->redundant_pos != 0)
                r = vmdk_directory_skip(s->n, x, x->redundant_pos, *index, &other);
        if (r < 0)
                return r;
        *index = u64_min(held, u64_min(next, other));
        return 0;
}

/* Where nobody writes there are two walks, the first and the last. */
static uint64_t walk_share(const VmdkScan *s, uint64_t *ret_before)
{
        bool few = s->x->coded || s->x->kind == VMDK_SESPARSE;
        uint64_t share = few ? VMDK_CHECK_WALKS * VMDK_CHECK_STEPS / 2 : VMDK_CHECK_STEPS;

        *ret_before = s->walk == 0 ? 0 : few ? share : s->walk * share;
        return share;
}

/* An extent is walked over some times, and each of them counts for as much; so do the windows of one of them. */
static void walk_tell(const VmdkScan *s, uint64_t i, uint64_t count)
{
        uint64_t before, share = walk_share(s, &before), windows = 1, window = 0;

        if (s->meta && s->unit != 0) {
                windows = vmdk_end(s->x) / s->unit / LIMIT_CHECK_WINDOW + 1;
                window = u64_min(s->first / LIMIT_CHECK_WINDOW, windows - 1);
        }
        uint64_t done = (window * share + i * share / count) / windows;
        check_step(s->steps, before + done);
}

static int walk_tables(VmdkScan *s, const VmdkVisitor *v)
{
        const VmdkExtent *x = s->x;
        uint64_t count = div_round_up(x->len, vmdk_table_span(x));
        int r = 0;

        for (uint64_t i = 0; r >= 0 && i < count; i++) {
                uint64_t pos = 0, copy_pos = 0;
                walk_tell(s, i, count);
                r = walk_skip(s, &i);
                if (r < 0 || i >= count)
                        break;
                r = walk_directory(s, x->directory_pos, "grain directory", i, &pos);
                if (r >= 0 && x->redundant_pos != 0)
                        r = walk_directory(s, x->redundant_pos, "redundant grain directory", i,
                                           &copy_pos);
                if (r >= 0 && pos != 0)
                        r = walk_table(s, v, i, pos, copy_pos);
                else if (r >= 0 && copy_pos != 0 && v->piece)
                        r = v->piece(s, "redundant grain table", i, copy_pos, vmdk_table_len(x));
                if (r >= 0)
                        r = vmdk_worked(s, 1);
        }
        return r;
}

int vmdk_walk(VmdkScan *s, const VmdkVisitor *v)
{
        const VmdkExtent *x = s->x;
        uint64_t directory_len = x->directory_count * x->entry_len;
        int r = 0;

        if (v->piece) {
                r = v->piece(s, "header", 0, 0,
                             x->kind == VMDK_COWD ? VMDK_COWD_HEADER_LEN : VMDK_SECTOR);
                if (r >= 0 && x->descriptor_len != 0)
                        r = v->piece(s, "descriptor", 0, x->descriptor_pos, x->descriptor_len);
                if (r >= 0 && directory_len != 0)
                        r = v->piece(s, "grain directory", 0, x->directory_pos, directory_len);
                if (r >= 0 && directory_len != 0 && x->redundant_pos != 0)
                        r = v->piece(s, "redundant grain directory", 0, x->redundant_pos,
                                     directory_len);
        }
        return r < 0 ? r : walk_tables(s, v);
}
