/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/range-lock.h"

#include "base/cleanup.h"

#include <stdbool.h>

int range_lock_init(RangeLock *l)
{
        int r = pthread_mutex_init(&l->lock, NULL);
        if (r != 0)
                return -r;
        r = pthread_cond_init(&l->changed, NULL);
        if (r != 0) {
                pthread_mutex_destroy(&l->lock);
                return -r;
        }
        l->held = NULL;
        return 0;
}

void range_lock_done(RangeLock *l)
{
        pthread_cond_destroy(&l->changed);
        pthread_mutex_destroy(&l->lock);
}

/* Without sums, which could overflow. */
static bool range_overlaps(const RangeLockEntry *e, uint64_t off, uint64_t len)
{
        return e->off < off ? off - e->off < e->len && len > 0 : e->off - off < len;
}

static bool range_lock_is_free(const RangeLock *l, uint64_t off, uint64_t len)
{
        for (const RangeLockEntry *e = l->held; e; e = e->next)
                if (range_overlaps(e, off, len))
                        return false;
        return true;
}

void range_lock_take(RangeLock *l, RangeLockEntry *entry, uint64_t off, uint64_t len)
{
        LOCKED(&l->lock)
        {
                while (!range_lock_is_free(l, off, len))
                        pthread_cond_wait(&l->changed, &l->lock);
                *entry = (RangeLockEntry){ .off = off, .len = len, .next = l->held };
                l->held = entry;
        }
}

void range_lock_give(RangeLock *l, RangeLockEntry *entry)
{
        LOCKED(&l->lock)
        {
                RangeLockEntry **link = &l->held;
                while (*link != entry)
                        link = &(*link)->next;
                *link = entry->next;
                pthread_cond_broadcast(&l->changed);
        }
}
