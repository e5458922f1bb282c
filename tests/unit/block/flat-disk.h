/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The simplest format on a Flat, for its tests. The header is six numbers of 8 bytes: size, block size, entries, room for
 * entries, places that are counted, and how often writing began; the table lies at 512, the data at `data`. An entry is the
 * place and 1, or 0. Main thread only.
 */
#pragma once

#include "nodes.h"

#include "base/bits.h"
#include "base/disk-int.h"
#include "block/check.h"
#include "block/flat.h"

#include <errno.h>

enum {
        FLAT_TABLE = 512,
        FLAT_BLOCK = 1536,
        FLAT_FIELDS = 6,
};

typedef enum FlatField {
        FIELD_SIZE,
        FIELD_BLOCK_SIZE,
        FIELD_COUNT,
        FIELD_COUNT_MAX,
        FIELD_PLACES,
        FIELD_BEGUN,
} FlatField;

static inline uint64_t flat_disk_get(Store *s, FlatField field)
{
        le64 raw;
        assert_int_equal(store_read(s, &raw, sizeof(raw), (uint64_t)field * sizeof(raw)), 0);
        return from_le64(raw);
}

static inline int flat_disk_put(Store *s, FlatField field, uint64_t value)
{
        le64 raw = to_le64(value);
        return store_write(s, &raw, sizeof(raw), (uint64_t)field * sizeof(raw));
}

static inline int flat_disk_locate(const Flat *f, uint32_t entry, uint64_t *ret_pos)
{
        /* Entries with the highest bit set count sectors, so that they can lie between places. */
        if (entry >> 31)
                *ret_pos = f->first_pos + (entry & INT32_MAX) * UINT64_C(512);
        else
                *ret_pos = flat_place_pos(f, entry - UINT64_C(1));
        return entry == 0 ? 0 : entry > 1000000 && !(entry >> 31) ? -EIO : 1;
}

static inline uint32_t flat_disk_entry(const Flat *f, uint64_t place)
{
        return (uint32_t)place + 1;
}

static inline int flat_disk_prepare(Node *n)
{
        int r = flat_disk_put(n->store, FIELD_BEGUN, flat_disk_get(n->store, FIELD_BEGUN) + 1);
        return r < 0 ? r : node_sync(n);
}

static inline int flat_disk_write_count(Node *n, uint64_t places)
{
        return flat_disk_put(n->store, FIELD_PLACES, places);
}

static inline int flat_disk_write_size(Node *n, uint64_t size, uint64_t count)
{
        int r = flat_disk_put(n->store, FIELD_COUNT, count);
        return r < 0 ? r : flat_disk_put(n->store, FIELD_SIZE, size);
}

static const FlatKind flat_disk_kind = {
        .table = "the table",
        .locate = flat_disk_locate,
        .entry = flat_disk_entry,
        .prepare = flat_disk_prepare,
        .write_count = flat_disk_write_count,
        .write_size = flat_disk_write_size,
};

static inline int flat_disk_open(Node *n, Opener *opener, Err *err)
{
        Flat *f = n->state;
        uint64_t file_size = 0, room = flat_disk_get(n->store, FIELD_COUNT_MAX);

        assert_int_equal(store_get_size(n->store, &file_size), 0);
        *f = (Flat){
                .kind = &flat_disk_kind,
                .table_pos = FLAT_TABLE,
                .count = flat_disk_get(n->store, FIELD_COUNT),
                .count_max = room,
                .block_size = flat_disk_get(n->store, FIELD_BLOCK_SIZE),
                .first_pos = round_up(FLAT_TABLE + room * FLAT_ENTRY_LEN, 512),
                .stride = flat_disk_get(n->store, FIELD_BLOCK_SIZE) + 512,
                .lead = 512,
                .place_max = UINT32_MAX,
                .places_on_disk = flat_disk_get(n->store, FIELD_PLACES),
                .file_size = file_size,
        };
        n->size = flat_disk_get(n->store, FIELD_SIZE);
        return n->writable && !n->for_check ? flat_open_writer(n, f, err) : 0;
}

static inline void flat_disk_close(Node *n)
{
        flat_close(n, n->state);
}

static inline int flat_disk_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return flat_map(n, n->state, off, len, ret);
}

static inline int flat_disk_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        return flat_alloc(n, n->state, off, len, ret);
}

static inline int flat_disk_publish(Node *n, const Extent *e)
{
        return flat_publish(n, n->state, e);
}

static inline void flat_disk_release(Node *n, const Extent *e)
{
        flat_release(n, n->state, e);
}

static inline int flat_disk_write_back(Node *n)
{
        return flat_write_back(n, n->state);
}

static inline int flat_disk_discard(
        Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        return flat_discard(n, n->state, off, len, ret_off, ret_len);
}

static inline int flat_disk_resize(Node *n, uint64_t size)
{
        return flat_resize(n, n->state, size);
}

static const Format format_flat_disk = {
        .name = "flat",
        .state_size = sizeof(Flat),
        .open = flat_disk_open,
        .close = flat_disk_close,
        .map = flat_disk_map,
        .alloc = flat_disk_alloc,
        .publish = flat_disk_publish,
        .release = flat_disk_release,
        .write_back = flat_disk_write_back,
        .discard = flat_disk_discard,
        .resize = flat_disk_resize,
};

/* Where the block in this place begins. */
static inline uint64_t flat_disk_pos(uint64_t room, uint64_t block_size, uint64_t place)
{
        return round_up(FLAT_TABLE + room * FLAT_ENTRY_LEN, 512) + place * (block_size + 512) + 512;
}

/* A disk of `count` blocks with room for `room`, no block with a place, and a file with room for `places`. */
static inline Store *flat_disk_make(uint64_t block_size,
                                    uint64_t count,
                                    uint64_t room,
                                    uint64_t places)
{
        Store *s = NULL;

        assert_int_equal(mem_store_new(NULL, flat_disk_pos(room, block_size, places) - 512, &s), 0);
        assert_int_equal(flat_disk_put(s, FIELD_SIZE, count * block_size), 0);
        assert_int_equal(flat_disk_put(s, FIELD_BLOCK_SIZE, block_size), 0);
        assert_int_equal(flat_disk_put(s, FIELD_COUNT, count), 0);
        assert_int_equal(flat_disk_put(s, FIELD_COUNT_MAX, room), 0);
        return s;
}

static inline void flat_disk_set(Store *s, uint64_t index, uint32_t entry)
{
        le32 raw = to_le32(entry);
        assert_int_equal(store_write(s, &raw, sizeof(raw), FLAT_TABLE + index * FLAT_ENTRY_LEN), 0);
}

static inline uint32_t flat_disk_entry_of(Store *s, uint64_t index)
{
        le32 raw;
        assert_int_equal(store_read(s, &raw, sizeof(raw), FLAT_TABLE + index * FLAT_ENTRY_LEN), 0);
        return from_le32(raw);
}
