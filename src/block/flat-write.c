/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places for blocks that have none, and the order in which a file learns of them. What is to be written is copied in one
 * moment, under the lock; while it is being written, more may change.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/cache.h"
#include "block/flat-writer.h"
#include "block/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        SECTOR = 512,
};

bool flat_is_prepared(const Flat *f)
{
        return f->writer && atomic_load_explicit(&f->writer->prepared, memory_order_acquire);
}

void flat_unprepare(Flat *f)
{
        atomic_store(&f->writer->prepared, false);
}

bool flat_is_free(const Flat *f, uint64_t pos, uint64_t len)
{
        return flat_bits_are_free(f, f->writer->used, f->writer->used_room, pos, len);
}

void flat_append_only(Flat *f)
{
        FlatWriter *w = f->writer;

        /* What lies behind the last place is somebody's as well. */
        while (w->place_end < w->used_room &&
               flat_place_pos(f, w->place_end) - f->lead < w->file_end)
                w->place_end++;
        for (uint64_t i = 0; i < w->place_end; i++)
                flat_bit_set(w->used, i);
        w->place_hint = w->place_end;
}

/* 1: it was done just now. */
static int flat_prepare(Node *n, Flat *f)
{
        FlatWriter *w = f->writer;
        int r = 0;

        if (flat_is_prepared(f))
                return 0;
        LOCKED(&w->commit_lock)
        {
                if (atomic_load(&w->prepared))
                        return 0;
                r = f->kind->prepare ? f->kind->prepare(n) : 0;
                if (r >= 0)
                        atomic_store(&w->prepared, true);
        }
        return r < 0 ? r : 1;
}

/* Makes the file at least so long; *ret_zeroed: from `pos` on it was not there before. Wants the lock. */
static int flat_lengthen(Node *n, FlatWriter *w, uint64_t pos, uint64_t end, bool *ret_zeroed)
{
        *ret_zeroed = pos >= w->file_end;
        if (end <= w->file_end)
                return 0;
        int r = store_set_size(n->store, end);
        if (r < 0)
                return r == -EOPNOTSUPP ? -ENOSPC : r;
        w->file_end = end;
        return 0;
}

/* Wants the lock. */
static void flat_give_place(FlatWriter *w, uint64_t place)
{
        flat_bit_clear(w->used, place);
        w->place_hint = u64_min(w->place_hint, place);
        while (w->place_end > 0 && !flat_bit_is_set(w->used, w->place_end - 1))
                w->place_end--;
        w->has_given_back = true;
}

/* The first place that nothing is in. Wants the lock. */
static int flat_take_place(Node *n, Flat *f, Extent *place)
{
        FlatWriter *w = f->writer;
        uint64_t i = w->place_hint;

        while (i < w->used_room && flat_bit_is_set(w->used, i))
                i++;
        w->place_hint = i;
        if (i >= u64_min(w->used_room, f->place_max))
                return -ENOSPC;
        uint64_t pos = flat_place_pos(f, i);
        int r = flat_lengthen(n, w, pos, pos + f->block_size, &place->zeroed);
        if (r < 0)
                return r;
        flat_bit_set(w->used, i);
        w->place_hint = i + 1;
        w->place_end = u64_max(w->place_end, i + 1);
        place->pos = pos;
        place->cookie = i;
        return 0;
}

static bool flat_is_full(FlatWriter *w)
{
        bool full = false;

        LOCKED(&w->lock)
        {
                full = w->changed_count >= FLAT_CHANGED_MAX;
        }
        return full;
}

int flat_alloc(Node *n, Flat *f, uint64_t off, uint64_t len, Extent *ret)
{
        FlatWriter *w = f->writer;
        uint64_t index = off / f->block_size, count = 0, pos = 0;
        uint32_t entry = 0;

        int r = flat_prepare(n, f);
        if (r != 0)
                return r < 0 ? r : -EAGAIN;
        r = flat_is_full(w) ? flat_write_back(n, f) : 0;
        if (r < 0)
                return r;
        r = flat_read_entries(n, f, index, 1, &entry, &count);
        if (r >= 0)
                r = f->kind->locate(f, entry, &pos);
        /* It has got one since map was asked. */
        if (r != 0)
                return r < 0 ? r : -EAGAIN;

        Extent place = { .kind = EXTENT_DATA,
                         .off = index * f->block_size,
                         .len = f->block_size,
                         .store = n->store,
                         .in_place = true };
        LOCKED(&w->lock)
        {
                r = flat_take_place(n, f, &place);
        }
        if (r < 0)
                return r;
        *ret = place;
        return 0;
}

/* Keeps a changed piece in use until it is written. Takes over the use. Wants the lock. */
static int flat_keep_piece(Node *n, FlatWriter *w, const FlatPiece *p)
{
        uint32_t *mark = cache_entry_mark(p->entry);

        if (*mark & FLAT_MARK_CHANGED) {
                cache_put(n->cache, p->entry);
                return 0;
        }
        if (w->changed_count == w->changed_room) {
                size_t room = 2 * w->changed_room + 16;
                FlatPiece *grown = reallocarray(w->changed, room, sizeof(*grown));
                if (!grown) {
                        cache_put(n->cache, p->entry);
                        return -ENOMEM;
                }
                w->changed = grown;
                w->changed_room = room;
        }
        *mark |= FLAT_MARK_CHANGED;
        w->changed[w->changed_count++] = *p;
        return 0;
}

static int flat_set_entry(Node *n, Flat *f, uint64_t index, uint32_t entry)
{
        le32 disk = to_le32(entry);
        uint32_t value;
        FlatPiece piece;

        int r = flat_get_piece(n, f, index, &piece);
        if (r < 0)
                return r;
        memcpy(&value, &disk, sizeof(value));
        LOCKED(&f->writer->lock)
        {
                uint32_t *raw = cache_entry_bytes(piece.entry);
                r = flat_keep_piece(n, f->writer, &piece);
                if (r >= 0)
                        __atomic_store_n(raw + (index - piece.first), value, __ATOMIC_RELEASE);
        }
        return r;
}

int flat_publish(Node *n, Flat *f, const Extent *e)
{
        return flat_set_entry(n, f, e->off / f->block_size, f->kind->entry(f, e->cookie));
}

void flat_release(Node *n, Flat *f, const Extent *e)
{
        LOCKED(&f->writer->lock)
        {
                flat_give_place(f->writer, e->cookie);
        }
}

/* What one write_back took from the writer, which gets it back when that fails, and copies of the bytes. */
typedef struct FlatBatch {
        FlatPiece *pieces;
        size_t count;
        uint8_t *bytes;
        bool size_changed;
        uint64_t size, places;
} FlatBatch;

/* Wants the lock. Takes nothing when it fails. */
static int flat_batch_take(FlatWriter *w, FlatBatch *b)
{
        b->places = w->place_end;
        if (w->changed_count > 0) {
                b->bytes = calloc(w->changed_count, FLAT_PIECE_LEN);
                if (!b->bytes)
                        return -ENOMEM;
        }
        b->pieces = w->changed;
        b->count = w->changed_count;
        for (size_t i = 0; i < b->count; i++) {
                memcpy(b->bytes + i * FLAT_PIECE_LEN, cache_entry_bytes(b->pieces[i].entry),
                       FLAT_PIECE_LEN);
                *cache_entry_mark(b->pieces[i].entry) &= ~(uint32_t)FLAT_MARK_CHANGED;
        }
        w->changed = NULL;
        w->changed_count = w->changed_room = 0;
        b->size = w->size;
        b->size_changed = w->size_changed;
        w->size_changed = false;
        return 0;
}

/* What could not be written is written next time. Wants the lock. */
static void flat_batch_put_back(Node *n, FlatWriter *w, FlatBatch *b)
{
        for (size_t i = 0; i < b->count; i++)
                /* A change that nobody knows of any more: what is written from now on could rely on it. */
                if (flat_keep_piece(n, w, &b->pieces[i]) < 0)
                        atomic_store(&n->broken, true);
        b->count = 0;
        w->size_changed = w->size_changed || b->size_changed;
}

static void flat_batch_done(Node *n, FlatBatch *b)
{
        for (size_t i = 0; i < b->count; i++)
                cache_put(n->cache, b->pieces[i].entry);
        free(b->pieces);
        free(b->bytes);
}

static int flat_batch_write_entries(Node *n, const Flat *f, const FlatBatch *b)
{
        for (size_t i = 0; i < b->count; i++) {
                uint64_t first = b->pieces[i].first;
                /* A disk that could not become longer may have left pieces behind its entries. */
                uint64_t count = u64_min(f->count - u64_min(f->count, first), FLAT_PIECE_ENTRIES);
                int r = store_write(n->store, b->bytes + i * FLAT_PIECE_LEN,
                                    (size_t)count * FLAT_ENTRY_LEN,
                                    f->table_pos + first * FLAT_ENTRY_LEN);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int flat_batch_write(Node *n, Flat *f, const FlatBatch *b)
{
        int r = 0;

        if (f->kind->write_count && b->places != f->places_on_disk) {
                r = f->kind->write_count(n, b->places);
                if (r < 0)
                        return r;
                f->places_on_disk = b->places;
        }
        if (b->count > 0 || b->size_changed)
                r = node_sync(n);
        if (r >= 0)
                r = flat_batch_write_entries(n, f, b);
        if (r < 0 || !b->size_changed)
                return r;
        r = b->count > 0 ? node_sync(n) : 0;
        return r < 0 ? r : f->kind->write_size(n, round_up(b->size, SECTOR), f->count);
}

/* Takes back what the file was made longer by for nothing. If that fails, the next flush tries again. */
static void flat_shorten(Node *n, Flat *f)
{
        FlatWriter *w = f->writer;

        LOCKED(&w->lock)
        {
                uint64_t end = u64_max(f->first_pos + w->place_end * f->stride, w->keep_end);
                if (w->has_given_back &&
                    (end >= w->file_end || store_set_size(n->store, end) >= 0)) {
                        w->file_end = u64_min(w->file_end, end);
                        w->has_given_back = false;
                }
        }
}

static int flat_write_back_locked(Node *n, Flat *f)
{
        FlatBatch b = { 0 };
        int r = 0;

        LOCKED(&f->writer->lock)
        {
                r = flat_batch_take(f->writer, &b);
        }
        if (r < 0)
                return r;
        r = flat_batch_write(n, f, &b);
        if (r < 0)
                LOCKED(&f->writer->lock)
                {
                        flat_batch_put_back(n, f->writer, &b);
                }
        else
                flat_shorten(n, f);
        flat_batch_done(n, &b);
        return r;
}

int flat_write_back(Node *n, Flat *f)
{
        int r = 0;

        LOCKED(&f->writer->commit_lock)
        {
                /* Nobody has written: not even a wrong count is put right. */
                if (flat_is_prepared(f))
                        r = flat_write_back_locked(n, f);
        }
        return r;
}

typedef int (*FlatStoreCall)(Store *s, uint64_t pos, uint64_t len);

/* For every stretch of [off, off + len) that has places: block/ sees to the rest. */
static int flat_for_places(Node *n, Flat *f, uint64_t off, uint64_t len, FlatStoreCall call)
{
        uint64_t end = off + len;

        while (off < end) {
                Extent e;
                int r = flat_map(n, f, off, end - off, &e);
                if (r < 0)
                        return r;
                uint64_t part = u64_min(end, e.off + e.len) - off;
                if (e.kind == EXTENT_DATA)
                        r = call(n->store, e.pos + (off - e.off), part);
                if (r < 0)
                        return r;
                off += part;
        }
        return 0;
}

/* Where the host cannot punch, nothing is done and block/ writes zeroes. */
int flat_discard(Node *n, Flat *f, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        int r = flat_prepare(n, f);
        if (r >= 0)
                r = flat_for_places(n, f, off, len, store_punch);
        if (r < 0 && r != -EOPNOTSUPP)
                return r;
        *ret_off = off;
        *ret_len = r < 0 ? 0 : len;
        return 0;
}

/* Makes everything from block `first` up to `end` read as zeroes, whether it is a part of the disk or not. */
static int flat_clear_blocks(Node *n, Flat *f, uint64_t first, uint64_t end)
{
        while (first < end) {
                uint32_t entries[FLAT_PIECE_ENTRIES];
                uint64_t count = 0;
                int r = flat_read_entries(n, f, first, end - first, entries, &count);
                for (uint64_t i = 0; i < count && r >= 0; i++) {
                        uint64_t pos = 0;
                        r = f->kind->locate(f, entries[i], &pos);
                        if (r > 0)
                                r = store_punch(n->store, pos, f->block_size);
                        if (r == -EOPNOTSUPP)
                                r = store_zero(n->store, pos, f->block_size);
                }
                if (r < 0)
                        return r;
                first += count;
        }
        return 0;
}

/* Room for the places of so many entries more. `layout` is held exclusively. */
static int flat_add_places(Node *n, Flat *f, uint64_t more)
{
        FlatWriter *w = f->writer;
        size_t len = (size_t)div_round_up(w->used_room, 8);
        size_t longer = (size_t)div_round_up(w->used_room + more, 8);

        int r = cache_reserve(n->cache, longer - len);
        if (r < 0)
                return r;
        w->reserved += longer - len;
        uint8_t *grown = realloc(w->used, longer);
        if (!grown)
                return -ENOMEM;
        memset(grown + len, 0, longer - len);
        w->used = grown;
        w->used_room += more;
        return 0;
}

static int flat_add_entries(Node *n, Flat *f, uint64_t count)
{
        uint64_t old = f->count;

        int r = flat_add_places(n, f, count - old);
        if (r < 0)
                return r;
        f->count = count;
        for (uint64_t i = old; i < count && r >= 0; i++)
                r = flat_set_entry(n, f, i, f->kind->empty);
        if (r < 0)
                f->count = old;
        return r;
}

int flat_resize(Node *n, Flat *f, uint64_t size)
{
        FlatWriter *w = f->writer;
        uint64_t need = div_round_up(size, f->block_size);
        uint64_t now = div_round_up(n->size, f->block_size);

        if (need > f->count_max)
                return -EFBIG;
        int r = flat_prepare(n, f);
        if (r < 0)
                return r;
        /* What was cut off once, by whomever, is not to come back; what is cut off now gives back its space. */
        r = flat_clear_blocks(n, f, u64_min(now, need), u64_min(u64_max(now, need), f->count));
        if (r >= 0 && need > f->count)
                r = flat_add_entries(n, f, need);
        if (r < 0)
                return r;
        LOCKED(&w->lock)
        {
                w->size = size;
                w->size_changed = true;
        }
        return 0;
}
