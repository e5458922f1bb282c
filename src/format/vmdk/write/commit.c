/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes what has changed. It is copied in one moment, under the lock; while it is being written, more may change.
 */
#include "base/cleanup.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One commit: what it took from the writer, which gets it back when the commit fails, and copies of the bytes. */
typedef struct VmdkBatch {
        VmdkChangeList list;
        uint8_t *bytes; /* of one piece after the other */
} VmdkBatch;

/* Wants the lock; takes nothing when it fails. */
static int batch_take(VmdkWriter *w, VmdkBatch *b)
{
        uint64_t at = 0;

        b->bytes = malloc(w->changed.len + 1);
        if (!b->bytes)
                return -ENOMEM;
        b->list = w->changed;
        w->changed = (VmdkChangeList){ 0 };
        for (size_t i = 0; i < b->list.count; i++) {
                const VmdkPieceChange *c = &b->list.changes[i];
                memcpy(b->bytes + at, cache_entry_bytes(c->entry), c->len);
                *cache_entry_mark(c->entry) &= ~(uint32_t)VMDK_MARK_CHANGED;
                at += c->len;
        }
        return 0;
}

static int batch_write(const VmdkBatch *b)
{
        uint64_t at = 0;

        for (size_t i = 0; i < b->list.count; i++) {
                const VmdkPieceChange *c = &b->list.changes[i];
                int r = store_write(c->x->store, b->bytes + at, c->len, c->pos);
                if (r >= 0 && c->copy_pos != 0)
                        r = store_write(c->x->store, b->bytes + at, c->len, c->copy_pos);
                if (r < 0)
                        return r;
                at += c->len;
        }
        return 0;
}

/* What was not written is changed still, as what has changed meanwhile is. Without memory for both lists the pieces stay
 * in use and what they say is lost with the session: but then no flush succeeds any more. */
static int batch_give_back(Node *n, VmdkBatch *b)
{
        VmdkChangeList *list = &((Vmdk *)n->state)->writer->changed;
        VmdkPieceChange *grown =
                reallocarray(b->list.changes, b->list.count + list->count + 1, sizeof(*grown));

        if (!grown) {
                atomic_store(&n->broken, true);
                return -ENOMEM;
        }
        b->list.changes = NULL;
        size_t count = b->list.count;
        uint64_t len = b->list.len;
        for (size_t i = 0; i < count; i++)
                *cache_entry_mark(grown[i].entry) |= VMDK_MARK_CHANGED;
        /* A piece that has changed again is in both; one use of it is enough. */
        for (size_t i = 0; i < list->count; i++) {
                const VmdkPieceChange *c = &list->changes[i];
                bool is_twice = false;
                for (size_t k = 0; k < b->list.count && !is_twice; k++)
                        is_twice = grown[k].entry == c->entry;
                if (is_twice) {
                        cache_put(n->cache, c->entry);
                } else {
                        grown[count++] = *c;
                        len += c->len;
                }
        }
        free(list->changes);
        *list = (VmdkChangeList){ grown, count, b->list.count + list->count + 1, len };
        return 0;
}

static void batch_done(Node *n, VmdkBatch *b)
{
        for (size_t i = 0; b->list.changes && i < b->list.count; i++)
                cache_put(n->cache, b->list.changes[i].entry);
        free(b->list.changes);
        free(b->bytes);
}

static int commit_locked(Node *n)
{
        VmdkWriter *w = ((Vmdk *)n->state)->writer;
        VmdkBatch batch = { 0 };
        int r = 0;

        LOCKED(&w->lock)
        {
                if (w->changed.count > 0)
                        r = batch_take(w, &batch);
        }
        if (r < 0 || batch.list.count == 0)
                return r;
        r = node_sync(n);
        if (r >= 0)
                r = batch_write(&batch);
        if (r < 0)
                LOCKED(&w->lock)
                {
                        batch_give_back(n, &batch);
                }
        batch_done(n, &batch);
        return r < 0 ? r : 0;
}

int vmdk_commit(Node *n)
{
        VmdkWriter *w = ((Vmdk *)n->state)->writer;
        int r = 0;

        LOCKED(&w->commit_lock)
        {
                r = commit_locked(n);
        }
        return r;
}

int vmdk_make_room(Node *n)
{
        VmdkWriter *w = ((Vmdk *)n->state)->writer;
        bool is_due = false;

        LOCKED(&w->lock)
        {
                is_due = w->changed.len > VMDK_DIRTY_LEN_MAX;
        }
        return is_due ? vmdk_commit(n) : 0;
}
