/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the blocks lie in the file: over each other, over something else, with room between them. */
#include "base/bits.h"
#include "base/sort.h"
#include "block/table.h"
#include "format/vhd/writer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
        VHD_BAT_STEP = 1024, /* entries from one word to the next */
};

static int vhd_compare(const void *a, const void *b)
{
        uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

        return one < other ? -1 : one > other;
}

__attribute__((format(printf, 2, 3))) static void vhd_damaged(const VhdVisitor *visitor,
                                                              const char *fmt,
                                                              ...)
{
        char text[160];
        va_list args;

        if (!visitor->damaged)
                return;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        visitor->damaged(visitor->arg, text);
}

/* Where the header and the BAT end, up to a whole sector. */
static uint64_t vhd_metadata_end(const Vhd *v)
{
        uint64_t bat_end = v->bat_pos + v->block_count * sizeof(be32);
        uint64_t end = u64_max(bat_end, v->header_pos + VHD_HEADER_LEN);

        return round_up(u64_max(end, VHD_FOOTER_LEN), VHD_SECTOR);
}

/* Places for blocks between two blocks: what an interrupted writer has left. */
static void vhd_visit_gap(
        const Vhd *v, const VhdVisitor *visitor, uint64_t from, uint64_t to, VhdLayout *l)
{
        uint64_t end = u64_min(to, v->footers.file_size);
        if (end <= from || vhd_hits_metadata(v, from, end - from))
                return;
        uint64_t count = (end - from) / vhd_place_len(v);
        l->gaps += count;
        for (uint64_t i = 0; visitor->gap && i < u64_min(count, VHD_SPARE_COUNT_MAX); i++)
                visitor->gap(visitor->arg, from + i * vhd_place_len(v));
}

void vhd_layout_walk(const Vhd *v, uint32_t *bat, const VhdVisitor *visitor, VhdLayout *ret)
{
        VhdLayout l = { .used_end = vhd_metadata_end(v) };
        uint64_t file_size = v->footers.file_size, last_end = 0;

        sort_in_place(bat, (size_t)v->block_count, sizeof(*bat), vhd_compare);
        for (uint64_t i = 0; i < v->block_count && bat[i] != VHD_BAT_ABSENT; i++) {
                if (visitor->step && i % VHD_BAT_STEP == 0)
                        visitor->step(visitor->arg, i);
                uint64_t pos = (uint64_t)bat[i] * VHD_SECTOR;
                if (vhd_hits_metadata(v, pos, vhd_place_len(v)))
                        vhd_damaged(visitor,
                                    "a block at %" PRIu64 " lies over the footer, header or BAT",
                                    pos);
                else if (l.blocks > 0 && pos < last_end)
                        vhd_damaged(visitor, "a block at %" PRIu64 " lies over another one", pos);
                else if (l.blocks > 0)
                        vhd_visit_gap(v, visitor, last_end, pos, &l);
                if (!in_range(pos, vhd_place_len(v), file_size))
                        vhd_damaged(visitor,
                                    "a block at %" PRIu64 " ends past the end of the file (%" PRIu64
                                    " bytes)",
                                    pos, file_size);
                last_end = pos + vhd_place_len(v);
                l.used_end = u64_max(l.used_end, last_end);
                l.blocks++;
        }
        *ret = l;
}

int vhd_read_bat(Node *n, uint32_t **ret, uint64_t *ret_reserved, Err *err)
{
        const Vhd *v = n->state;
        uint64_t len = v->block_count * sizeof(be32);
        void *bytes = NULL;

        int r = table_reserve(n->cache, len, "BAT", err);
        if (r < 0)
                return r;
        r = table_read(n->store, v->bat_pos, v->block_count, sizeof(be32), "BAT", &bytes, err);
        if (r < 0) {
                cache_release(n->cache, len);
                return r;
        }
        uint32_t *entries = bytes;
        for (uint64_t i = 0; i < v->block_count; i++) {
                be32 raw;
                memcpy(&raw, &entries[i], sizeof(raw));
                entries[i] = from_be32(raw);
        }
        *ret = entries;
        *ret_reserved = len;
        return 0;
}
