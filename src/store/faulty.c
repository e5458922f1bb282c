/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/faulty.h"

#include <errno.h>
#include <stdlib.h>

typedef struct FaultyStore {
        Store store;
        Store *inner;    /* owned */
        FaultPlan *plan; /* borrowed */
} FaultyStore;

static Store *faulty_inner(Store *s)
{
        return ((FaultyStore *)s)->inner;
}

/* Does it take space on the host? */
typedef enum FaultyKind {
        FAULTY_TAKES_NONE,
        FAULTY_TAKES_SPACE,
} FaultyKind;

/* Counts one operation: 0, or the failure that the plan has for it. */
static int faulty_next(Store *s, FaultyKind kind)
{
        FaultPlan *plan = ((FaultyStore *)s)->plan;
        if (plan->full && kind == FAULTY_TAKES_NONE)
                return 0;
        uint64_t number = atomic_fetch_add(&plan->count, 1) + 1;
        uint64_t fail_at = atomic_load(&plan->fail_at);

        if (fail_at == 0 || number < fail_at || (number > fail_at && !plan->stays))
                return 0;
        return -plan->code;
}

static int faulty_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        int r = faulty_next(s, FAULTY_TAKES_NONE);
        Store *inner = faulty_inner(s);
        return r < 0 ? r : inner->ops->read(inner, buf, len, pos, ret_done);
}

static int faulty_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        int r = faulty_next(s, FAULTY_TAKES_SPACE);
        return r < 0 ? r : store_write(faulty_inner(s), buf, len, pos);
}

static int faulty_get_size(Store *s, uint64_t *ret)
{
        int r = faulty_next(s, FAULTY_TAKES_NONE);
        return r < 0 ? r : store_get_size(faulty_inner(s), ret);
}

static int faulty_set_size(Store *s, uint64_t size)
{
        uint64_t now = 0;
        int r = store_get_size(faulty_inner(s), &now);
        if (r >= 0)
                r = faulty_next(s, size > now ? FAULTY_TAKES_SPACE : FAULTY_TAKES_NONE);
        return r < 0 ? r : store_set_size(faulty_inner(s), size);
}

static int faulty_sync(Store *s)
{
        int r = faulty_next(s, FAULTY_TAKES_NONE);
        return r < 0 ? r : store_sync(faulty_inner(s));
}

static int faulty_punch(Store *s, uint64_t pos, uint64_t len)
{
        int r = faulty_next(s, FAULTY_TAKES_NONE);
        return r < 0 ? r : store_punch(faulty_inner(s), pos, len);
}

static int faulty_zero(Store *s, uint64_t pos, uint64_t len)
{
        int r = faulty_next(s, FAULTY_TAKES_SPACE);
        return r < 0 ? r : store_zero(faulty_inner(s), pos, len);
}

static int faulty_allocate(Store *s, uint64_t pos, uint64_t len)
{
        int r = faulty_next(s, FAULTY_TAKES_SPACE);
        return r < 0 ? r : store_allocate(faulty_inner(s), pos, len);
}

static int faulty_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        int r = faulty_next(s, FAULTY_TAKES_NONE);
        return r < 0 ? r : store_find_run(faulty_inner(s), pos, ret);
}

static int faulty_get_stat(Store *s, StoreStat *ret)
{
        int r = faulty_next(s, FAULTY_TAKES_NONE);
        return r < 0 ? r : store_get_stat(faulty_inner(s), ret);
}

static void faulty_free(Store *s)
{
        store_free(faulty_inner(s));
        free(s);
}

static const StoreOps faulty_ops = {
        .read = faulty_read,
        .write = faulty_write,
        .get_size = faulty_get_size,
        .set_size = faulty_set_size,
        .sync = faulty_sync,
        .punch = faulty_punch,
        .zero = faulty_zero,
        .allocate = faulty_allocate,
        .find_run = faulty_find_run,
        .get_stat = faulty_get_stat,
        .free = faulty_free,
};

int faulty_store_new(Store *inner, FaultPlan *plan, Store **ret)
{
        FaultyStore *f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        *f = (FaultyStore){ .store.ops = &faulty_ops, .inner = inner, .plan = plan };
        *ret = &f->store;
        return 0;
}
