/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vhd/writer.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int vhd_writer_get(const VhdWriter *w, uint64_t index, uint32_t *ret)
{
        *ret = (uint32_t)atomic_load_explicit(&w->bat[index], memory_order_acquire);
        return 0;
}

void vhd_spare_add(VhdWriter *w, uint64_t pos)
{
        if (w->spare_count == w->spare_room) {
                size_t room = w->spare_room == 0 ? 8 : 2 * w->spare_room;
                uint64_t *grown = reallocarray(w->spare, room, sizeof(*grown));
                if (!grown || room > VHD_SPARE_COUNT_MAX) {
                        w->spare = grown ? grown : w->spare;
                        return;
                }
                w->spare = grown;
                w->spare_room = room;
        }
        w->spare[w->spare_count++] = pos;
}

/* The first finding of a walk is the reason to refuse. */
typedef struct VhdOpening {
        VhdWriter *writer;
        char text[160];
} VhdOpening;

static void vhd_opening_damaged(void *arg, const char *text)
{
        VhdOpening *o = arg;

        if (o->text[0] == '\0')
                strncpy(o->text, text, sizeof(o->text) - 1);
}

static void vhd_opening_gap(void *arg, uint64_t pos)
{
        VhdOpening *o = arg;

        vhd_spare_add(o->writer, pos);
}

/* Looks at all blocks before any is written to. */
static int vhd_writer_look(Node *n, Err *err)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;
        VhdOpening opening = { .writer = w };
        VhdVisitor visitor = { .damaged = vhd_opening_damaged,
                               .gap = vhd_opening_gap,
                               .arg = &opening };
        _cleanup_free_ uint32_t *bat = NULL;
        uint64_t reserved = 0;
        VhdLayout l;

        int r = vhd_read_bat(n, &bat, &reserved, err);
        if (r < 0)
                return r;
        for (uint64_t i = 0; i < w->bat_count; i++)
                atomic_init(&w->bat[i], bat[i]);
        vhd_layout_walk(v, bat, &visitor, &l);
        cache_release(n->cache, reserved);
        if (opening.text[0] != '\0')
                return err_set(err, EBADMSG, "%s; the image can be opened read-only", opening.text);

        const VhdFooter *end = &v->footers.end;
        uint64_t pos = end->found == VHD_ABSENT ? v->footers.file_size : end->pos;
        if (l.used_end > round_up(pos, VHD_SECTOR))
                return err_set(err, EBADMSG,
                               "a block ends at %" PRIu64 ", behind the footer at %" PRIu64
                               "; the image can be opened read-only",
                               l.used_end, pos);
        w->end = round_up(pos, VHD_SECTOR);
        return 0;
}

static int vhd_refuse_writing(const Vhd *v, Err *err)
{
        if (v->header_broken)
                return err_set(err, EBADMSG,
                               "dynamic disk header: its checksum is not that of its bytes; the "
                               "image can be opened read-only");
        if (!is_aligned(v->bat_pos, VHD_SECTOR))
                return err_set(err, EOPNOTSUPP,
                               "table offset %" PRIu64
                               " is no multiple of 512: the image can only be opened read-only",
                               v->bat_pos);
        return 0;
}

int vhd_writer_open(Node *n, Err *err)
{
        Vhd *v = n->state;
        uint64_t sectors = div_round_up(v->block_count, VHD_BAT_SECTOR_ENTRIES);

        int r = vhd_refuse_writing(v, err);
        if (r < 0)
                return r;
        uint64_t len = v->block_count * sizeof(be32) + sectors;
        r = table_reserve(n->cache, len, "BAT", err);
        if (r < 0)
                return r;
        VhdWriter *w = calloc(1, sizeof(*w));
        if (!w || pthread_mutex_init(&w->lock, NULL) != 0) {
                free(w);
                cache_release(n->cache, len);
                return err_set(err, ENOMEM, "%m");
        }
        w->reserved = len;
        v->writer = w;
        w->bat_count = v->block_count;
        w->bat = calloc((size_t)w->bat_count + 1, sizeof(*w->bat));
        w->dirty = calloc((size_t)sectors + 1, 1);
        if (!w->bat || !w->dirty)
                return err_set(err, ENOMEM, "%m");
        w->prepared = v->footers.front.found == VHD_GOOD;
        return vhd_writer_look(n, err);
}

void vhd_writer_close(Node *n)
{
        Vhd *v = n->state;
        VhdWriter *w = v->writer;

        if (!w)
                return;
        cache_release(n->cache, w->reserved);
        pthread_mutex_destroy(&w->lock);
        free(w->bat);
        free(w->dirty);
        free(w->spare);
        free(w);
        v->writer = NULL;
}
