/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/slow.h"

#include "base/blocking.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct SlowStore {
        Store store;
        Store *inner;      /* owned */
        unsigned max_usec; /* fixed */
        atomic_uint_fast64_t turn;
} SlowStore;

static Store *slow_inner(Store *s)
{
        return ((SlowStore *)s)->inner;
}

static void slow_wait(Store *s)
{
        SlowStore *slow = (SlowStore *)s;

        blocking_begin();
        /* Knuth's multiplier: neighbouring turns get unlike waits. */
        uint64_t x = (atomic_fetch_add(&slow->turn, 1) + 1) * UINT64_C(6364136223846793005);
        usleep((unsigned)((x >> 33) % (slow->max_usec + 1)));
}

static int slow_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        Store *inner = slow_inner(s);
        slow_wait(s);
        int r = inner->ops->read(inner, buf, len, pos, ret_done);
        slow_wait(s);
        return r;
}

static int slow_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        slow_wait(s);
        int r = store_write(slow_inner(s), buf, len, pos);
        slow_wait(s);
        return r;
}

static int slow_get_size(Store *s, uint64_t *ret)
{
        return store_get_size(slow_inner(s), ret);
}

static int slow_set_size(Store *s, uint64_t size)
{
        slow_wait(s);
        return store_set_size(slow_inner(s), size);
}

static int slow_sync(Store *s)
{
        slow_wait(s);
        int r = store_sync(slow_inner(s));
        slow_wait(s);
        return r;
}

static int slow_punch(Store *s, uint64_t pos, uint64_t len)
{
        slow_wait(s);
        return store_punch(slow_inner(s), pos, len);
}

static int slow_zero(Store *s, uint64_t pos, uint64_t len)
{
        slow_wait(s);
        return store_zero(slow_inner(s), pos, len);
}

static int slow_allocate(Store *s, uint64_t pos, uint64_t len)
{
        slow_wait(s);
        return store_allocate(slow_inner(s), pos, len);
}

static int slow_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        return store_find_run(slow_inner(s), pos, ret);
}

static int slow_get_stat(Store *s, StoreStat *ret)
{
        return store_get_stat(slow_inner(s), ret);
}

static void slow_free(Store *s)
{
        store_free(slow_inner(s));
        free(s);
}

static const StoreOps slow_ops = {
        .read = slow_read,
        .write = slow_write,
        .get_size = slow_get_size,
        .set_size = slow_set_size,
        .sync = slow_sync,
        .punch = slow_punch,
        .zero = slow_zero,
        .allocate = slow_allocate,
        .find_run = slow_find_run,
        .get_stat = slow_get_stat,
        .free = slow_free,
};

int slow_store_new(Store *inner, unsigned max_usec, Store **ret)
{
        SlowStore *slow = calloc(1, sizeof(*slow));
        if (!slow)
                return -ENOMEM;
        slow->store.ops = &slow_ops;
        slow->inner = inner;
        slow->max_usec = max_usec;
        *ret = &slow->store;
        return 0;
}
