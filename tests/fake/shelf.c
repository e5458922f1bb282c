/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/shelf.h"

#include "fake/secret.h"

#include "base/cleanup.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>

int shelf_open(Shelf *s, const char *name, Store **ret)
{
        _cleanup_store_ Store *inner = NULL;
        size_t i = 0;

        while (i < s->count && strcmp(s->items[i].name, name) != 0)
                i++;
        if (i == s->count)
                return -ENOENT;
        int r = mem_store_copy(s->items[i].store, &inner);
        if (r < 0)
                return r;
        if (s->items[i].inode != 0)
                mem_store_set_inode(inner, s->items[i].inode);
        s->opened++;
        if (!s->faults) {
                *ret = TAKE(inner);
                return 0;
        }
        r = faulty_store_new(inner, s->faults, ret);
        if (r < 0)
                return r;
        TAKE(inner);
        return 0;
}

static int shelf_opener_open(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        int r = shelf_open((Shelf *)o, name, ret);
        return r < 0 ? err_set(err, -r, "cannot open it: %m") : 0;
}

void shelf_init(Shelf *s)
{
        *s = (Shelf){
                .opener.open = shelf_opener_open,
                .opener.get_secret = fake_get_secret,
        };
}

void shelf_done(Shelf *s)
{
        for (size_t i = 0; i < s->count; i++) {
                free(s->items[i].name);
                store_free(s->items[i].store);
        }
        shelf_init(s);
}

int shelf_put(Shelf *s, const char *name, uint64_t inode, Store *store)
{
        _cleanup_store_ Store *taken = store;
        _cleanup_free_ char *copy = strdup(name);

        if (s->count == SHELF_MAX)
                return -ENOSPC;
        if (!copy)
                return -ENOMEM;
        s->items[s->count++] = (ShelfItem){ TAKE(copy), TAKE(taken), inode };
        return 0;
}
