/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of tables and directories, in memory, and the room behind the end of a file. */
#include "base/bits.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Entries count sectors in 32 bits. */
#define VMDK_FILE_MAX ((UINT64_C(1) << 32) * VMDK_SECTOR)

int vmdk_extend(VmdkExtent *x, uint64_t len, uint64_t unit, uint64_t *ret_pos)
{
        uint64_t pos = round_up(vmdk_end(x), unit);

        if (!in_range(pos, len, VMDK_FILE_MAX))
                return -ENOSPC;
        int r = store_set_size(x->store, pos + len);
        if (r < 0)
                return r == -EOPNOTSUPP ? -ENOSPC : r;
        atomic_store_explicit(&x->end, pos + len, memory_order_release);
        *ret_pos = pos;
        return 0;
}

/* Keeps a changed piece, and the use of it, until it has been committed. Puts it in any case. */
static void change_keep(Node *n, VmdkPieceChange change)
{
        VmdkChangeList *list = &((Vmdk *)n->state)->writer->changed;
        uint32_t *mark = cache_entry_mark(change.entry);

        if (*mark & VMDK_MARK_CHANGED) {
                cache_put(n->cache, change.entry);
                return;
        }
        *mark |= VMDK_MARK_CHANGED;
        list->changes[list->count++] = change;
        list->len += change.len;
}

/* Room for so many more, so that change_keep cannot fail. */
static int change_reserve(Node *n, size_t more)
{
        VmdkChangeList *list = &((Vmdk *)n->state)->writer->changed;

        if (list->count + more <= list->room)
                return 0;
        size_t room = list->room == 0 ? 16 : 2 * list->room;
        VmdkPieceChange *grown = reallocarray(list->changes, room, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        list->changes = grown;
        list->room = room;
        return 0;
}

static void entry_put(void *bytes, uint64_t index, uint32_t entry)
{
        le32 raw = to_le32(entry);

        memcpy((uint8_t *)bytes + index * sizeof(raw), &raw, sizeof(raw));
}

int vmdk_change_entries(Node *n, VmdkExtent *x, const VmdkTablePlace *t, const VmdkEntries *e)
{
        VmdkTable table;

        int r = change_reserve(n, 1);
        if (r >= 0)
                r = vmdk_table_get(n, x, t->pos, &table);
        if (r < 0)
                return r;
        for (uint64_t i = 0; i < e->count; i++)
                entry_put(cache_entry_bytes(table.entry), e->first + i,
                          e->value + (uint32_t)i * e->step);
        change_keep(n, (VmdkPieceChange){ .entry = table.entry,
                                          .x = x,
                                          .pos = t->pos,
                                          .len = vmdk_table_len(x),
                                          .copy_pos = t->copy_pos });
        return 0;
}

/* Of a directory, what is written at once; what lies behind its last entry is not ours. */
static int change_directory(
        Node *n, VmdkExtent *x, uint64_t directory_pos, uint64_t index, uint64_t table_pos)
{
        CacheEntry *entry = NULL;
        uint64_t piece = round_down(index * x->entry_len, VMDK_PIECE_LEN);

        int r = change_reserve(n, 1);
        if (r >= 0)
                r = vmdk_directory_piece(n, x, directory_pos + piece, &entry);
        if (r < 0)
                return r;
        entry_put(cache_entry_bytes(entry), index - piece / x->entry_len,
                  (uint32_t)(table_pos / VMDK_SECTOR));
        change_keep(n, (VmdkPieceChange){
                               .entry = entry,
                               .x = x,
                               .pos = directory_pos + piece,
                               .len = u64_min(VMDK_PIECE_LEN,
                                              x->directory_count * x->entry_len - piece),
                       });
        return 0;
}

/* What the cache may know of the place, from when it was something else, is forgotten. */
static int table_new(Node *n, VmdkExtent *x, uint64_t directory_pos, uint64_t index, uint64_t *ret)
{
        uint64_t pos = 0;

        int r = vmdk_extend(x, round_up(vmdk_table_len(x), VMDK_SECTOR), VMDK_SECTOR, &pos);
        if (r < 0)
                return r;
        CacheKey key = vmdk_key(n, x, VMDK_PIECE_TABLE, pos);
        cache_drop(n->cache, &key);
        r = change_directory(n, x, directory_pos, index, pos);
        if (r < 0)
                return r;
        *ret = pos;
        return 0;
}

int vmdk_own_table(Node *n, VmdkExtent *x, uint64_t index, VmdkTablePlace *ret)
{
        VmdkTablePlace t = { 0 };

        int r = vmdk_directory_peek(n, x, x->directory_pos, index, &t.pos);
        if (r >= 0 && x->redundant_pos != 0)
                r = vmdk_directory_peek(n, x, x->redundant_pos, index, &t.copy_pos);
        /* The copy first: a directory with a table has both. */
        if (r >= 0 && x->redundant_pos != 0 && t.copy_pos == 0)
                r = table_new(n, x, x->redundant_pos, index, &t.copy_pos);
        if (r >= 0 && t.pos == 0)
                r = table_new(n, x, x->directory_pos, index, &t.pos);
        if (r < 0)
                return r == -EBADMSG ? -EIO : r;
        *ret = t;
        return 0;
}
