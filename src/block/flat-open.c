/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What has to be known of a table before anybody writes: that it is sound, and which places are free. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/flat-writer.h"
#include "block/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static int flat_refuse(const Flat *f, uint64_t index, const char *what, Err *err)
{
        return err_set(err, EUCLEAN,
                       "%s: the entry of block %" PRIu64
                       " %s; the image can be opened read-only, and looked at with `rawview check`",
                       f->kind->table, index, what);
}

static int flat_note_entry(Flat *f, uint64_t index, uint32_t entry, Err *err)
{
        FlatWriter *w = f->writer;
        uint64_t pos = 0, place = 0;

        int r = f->kind->locate(f, entry, &pos);
        if (r == 0)
                return 0;
        if (r < 0)
                return flat_refuse(f, index, "leads to where no block can be", err);
        if (!flat_find_place(f, pos, &place) || place >= w->used_room)
                return flat_refuse(f, index, "leads to between the places of others", err);
        if (!in_range(pos, f->block_size, f->file_size))
                return flat_refuse(f, index, "leads past the end of the file", err);
        if (flat_bit_is_set(w->used, place))
                return flat_refuse(f, index, "is that of another block as well", err);
        flat_bit_set(w->used, place);
        w->place_end = u64_max(w->place_end, place + 1);
        return 0;
}

static int flat_note_entries(Node *n, Flat *f, Err *err)
{
        uint64_t index = 0;

        while (index < f->count) {
                uint32_t entries[FLAT_PIECE_ENTRIES];
                uint64_t count = 0;
                int r = flat_read_entries(n, f, index, f->count - index, entries, &count);
                if (r < 0)
                        return err_set(err, -r, "%s: cannot read it: %m", f->kind->table);
                for (uint64_t i = 0; i < count && r >= 0; i++)
                        r = flat_note_entry(f, index + i, entries[i], err);
                if (r < 0)
                        return r;
                index += count;
        }
        return 0;
}

/* A bit for each place that the file has, and for each that may still be wanted. */
static int flat_make_places(Node *n, Flat *f, Err *err)
{
        FlatWriter *w = f->writer;
        uint64_t len = f->file_size - u64_min(f->file_size, f->first_pos);

        w->used_room = u64_min(div_round_up(len, f->stride), f->place_max) + f->count;
        uint64_t bytes = div_round_up(w->used_room, 8);
        int r = table_reserve(n->cache, bytes, "the places of the image", err);
        if (r < 0)
                return r;
        w->reserved = bytes;
        w->used = calloc(1, (size_t)bytes + 1);
        return w->used ? 0 : err_set(err, ENOMEM, "%m");
}

static int flat_writer_init(FlatWriter *w)
{
        int r = -pthread_mutex_init(&w->commit_lock, NULL);
        if (r < 0)
                return r;
        r = -pthread_mutex_init(&w->lock, NULL);
        if (r < 0)
                pthread_mutex_destroy(&w->commit_lock);
        return r;
}

int flat_open_writer(Node *n, Flat *f, Err *err)
{
        if (flat_present(f) < f->count)
                return err_set(err, ENODATA, "%s: the file ends before its entry %" PRIu64,
                               f->kind->table, flat_present(f));
        FlatWriter *w = calloc(1, sizeof(*w));
        int r = w ? flat_writer_init(w) : -ENOMEM;
        if (r < 0) {
                free(w);
                return err_set(err, -r, "%m");
        }
        f->writer = w;
        w->file_end = w->keep_end = f->file_size;
        w->size = n->size;
        r = flat_make_places(n, f, err);
        if (r < 0)
                return r;
        n->granule = f->block_size;
        return flat_note_entries(n, f, err);
}

void flat_close(Node *n, Flat *f)
{
        FlatWriter *w = f->writer;

        if (!w)
                return;
        for (size_t i = 0; i < w->changed_count; i++)
                cache_put(n->cache, w->changed[i].entry);
        cache_release(n->cache, w->reserved);
        free(w->changed);
        free(w->used);
        pthread_mutex_destroy(&w->commit_lock);
        pthread_mutex_destroy(&w->lock);
        free(w);
        f->writer = NULL;
}
