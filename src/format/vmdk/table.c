/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories and tables of sparse extents, as pieces in the cache, and what their entries mean. */
#include "base/bits.h"
#include "format/vmdk/vmdk.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>
#include <string.h>

/* Entries of seSparse begin with what they are. */
enum {
        SESPARSE_NIBBLE_SHIFT = 60,
        SESPARSE_NONE = 0,
        SESPARSE_UNMAPPED = 1,
        SESPARSE_ZERO = 2,
        SESPARSE_PLACE = 3,
        SESPARSE_DIRECTORY = 1,
};

CacheKey vmdk_key(const Node *n, const VmdkExtent *x, VmdkPiece piece, uint64_t pos)
{
        const Vmdk *v = n->state;
        uint32_t index = (uint32_t)(x - v->extents);

        return (CacheKey){ .owner = n, .kind = 1 + 2 * index + (uint32_t)piece, .at = pos };
}

static int load_piece(void *arg, const CacheKey *key, void *buf, size_t len)
{
        return store_read_padded(arg, buf, len, key->at);
}

static uint64_t entry_get(const VmdkExtent *x, const void *bytes, uint64_t index)
{
        const uint8_t *at = (const uint8_t *)bytes + index * x->entry_len;
        le32 narrow;
        le64 wide;

        if (x->entry_len == sizeof(wide)) {
                memcpy(&wide, at, sizeof(wide));
                return from_le64(wide);
        }
        memcpy(&narrow, at, sizeof(narrow));
        return from_le32(narrow);
}

/* How many entries of a table of `count` at `pos` the file has. */
static uint64_t entries_held(const VmdkExtent *x, uint64_t pos, uint64_t count)
{
        uint64_t end = vmdk_end(x);

        return u64_min(count, (end - u64_min(pos, end)) / x->entry_len);
}

static int directory_decode(const VmdkExtent *x, uint64_t entry, uint64_t *ret_pos)
{
        uint64_t pos = entry * VMDK_SECTOR;

        if (entry != 0 && x->kind == VMDK_SESPARSE) {
                if (entry >> 32 != (uint64_t)SESPARSE_DIRECTORY << (SESPARSE_NIBBLE_SHIFT - 32))
                        return -EBADMSG;
                pos = x->tables_pos + (entry & UINT32_MAX) * vmdk_table_len(x);
        }
        if (entry != 0 && pos >= vmdk_end(x))
                return -EBADMSG;
        *ret_pos = entry == 0 ? 0 : pos;
        return 0;
}

int vmdk_directory_piece(Node *n, const VmdkExtent *x, uint64_t pos, CacheEntry **ret)
{
        CacheKey key = vmdk_key(n, x, VMDK_PIECE_DIRECTORY, pos);

        return cache_get(n->cache, &key, VMDK_PIECE_LEN, load_piece, x->store, ret);
}

/* The entry itself, under the lock of a writer or without. */
static int directory_read(Node *n,
                          const VmdkExtent *x,
                          uint64_t directory_pos,
                          uint64_t index,
                          VmdkWriter *w,
                          uint64_t *ret)
{
        uint64_t piece = round_down(index * x->entry_len, VMDK_PIECE_LEN);
        CacheEntry *entry = NULL;

        if (index >= entries_held(x, directory_pos, x->directory_count))
                return -EBADMSG;
        int r = vmdk_directory_piece(n, x, directory_pos + piece, &entry);
        if (r < 0)
                return r;
        vmdk_entries_lock(w);
        *ret = entry_get(x, cache_entry_bytes(entry), index - piece / x->entry_len);
        vmdk_entries_unlock(w);
        cache_put(n->cache, entry);
        return 0;
}

int vmdk_directory_get(Node *n, const VmdkExtent *x, uint64_t index, uint64_t *ret_pos)
{
        const Vmdk *v = n->state;
        uint64_t entry = 0;

        int r = directory_read(n, x, x->directory_pos, index, v->writer, &entry);
        if (r >= 0)
                r = directory_decode(x, entry, ret_pos);
        return r == -EBADMSG ? -EIO : r;
}

int vmdk_directory_peek(
        Node *n, const VmdkExtent *x, uint64_t directory_pos, uint64_t index, uint64_t *ret_pos)
{
        uint64_t entry = 0;

        int r = directory_read(n, x, directory_pos, index, NULL, &entry);
        return r < 0 ? r : directory_decode(x, entry, ret_pos);
}

int vmdk_directory_skip(
        Node *n, const VmdkExtent *x, uint64_t directory_pos, uint64_t index, uint64_t *ret)
{
        uint64_t per_piece = VMDK_PIECE_LEN / x->entry_len;
        uint64_t first = index / per_piece * per_piece, end = first + per_piece;
        CacheEntry *entry = NULL;

        int r = vmdk_directory_piece(n, x, directory_pos + first * x->entry_len, &entry);
        if (r < 0)
                return r;
        while (index < end && entry_get(x, cache_entry_bytes(entry), index - first) == 0)
                index++;
        cache_put(n->cache, entry);
        *ret = index;
        return 0;
}

int vmdk_table_get(Node *n, const VmdkExtent *x, uint64_t pos, VmdkTable *ret)
{
        CacheKey key = vmdk_key(n, x, VMDK_PIECE_TABLE, pos);
        CacheEntry *entry = NULL;

        int r = cache_get(n->cache, &key, (size_t)vmdk_table_len(x), load_piece, x->store, &entry);
        if (r < 0)
                return r;
        *ret = (VmdkTable){ entry, pos, entries_held(x, pos, x->table_count) };
        return 0;
}

uint64_t vmdk_table_entry(const VmdkExtent *x, const VmdkTable *t, uint64_t index)
{
        return entry_get(x, cache_entry_bytes(t->entry), index);
}

static int sesparse_grain_find(const VmdkExtent *x,
                               uint64_t entry,
                               VmdkGrainKind *ret,
                               uint64_t *ret_pos)
{
        uint64_t index = (entry & UINT64_C(0x0fff000000000000)) >> 48 |
                         (entry & UINT64_C(0x0000ffffffffffff)) << 12;

        switch (entry >> SESPARSE_NIBBLE_SHIFT) {
        case SESPARSE_NONE:
                *ret = VMDK_GRAIN_NONE;
                return entry == 0 ? 0 : -EIO;
        case SESPARSE_UNMAPPED:
        case SESPARSE_ZERO:
                *ret = VMDK_GRAIN_ZERO;
                return 0;
        case SESPARSE_PLACE:
                *ret = VMDK_GRAIN_PLACE;
                if (__builtin_mul_overflow(index, x->grain, ret_pos) ||
                    __builtin_add_overflow(*ret_pos, x->grains_pos, ret_pos))
                        return -EIO;
                return 0;
        default:
                return -EIO;
        }
}

int vmdk_grain_find(const VmdkExtent *x, uint64_t entry, VmdkGrainKind *ret, uint64_t *ret_pos)
{
        if (x->kind == VMDK_SESPARSE)
                return sesparse_grain_find(x, entry, ret, ret_pos);
        if (entry == 0) {
                *ret = VMDK_GRAIN_NONE;
        } else if (entry == 1) {
                /* Sector 1 is never a grain's: the header lies before it, and the descriptor. */
                *ret = VMDK_GRAIN_ZERO;
                return x->zero_grains ? 0 : -EIO;
        } else {
                *ret = VMDK_GRAIN_PLACE;
                *ret_pos = entry * VMDK_SECTOR;
        }
        return 0;
}
