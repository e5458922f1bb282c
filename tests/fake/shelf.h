/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An Opener that gives out stores by name from a shelf, for tests: each open gets a copy of what the shelf owns. One
 * thread.
 */
#pragma once

#include "block/opener.h"
#include "store/faulty.h"

#include <stddef.h>

enum {
        SHELF_MAX = 64,
};

typedef struct ShelfItem {
        char *name;
        Store *store;   /* owned */
        uint64_t inode; /* 0: one of its own for each open */
} ShelfItem;

typedef struct Shelf {
        Opener opener; /* hand out &shelf.opener */
        ShelfItem items[SHELF_MAX];
        size_t count;
        FaultPlan *faults; /* borrowed; NULL: none */
        unsigned opened;
} Shelf;

void shelf_init(Shelf *s);
void shelf_done(Shelf *s);

/* From now on that name stands for what `store` holds. Takes `store` in any case. */
int shelf_put(Shelf *s, const char *name, uint64_t inode, Store *store);

/* What opening that name from outside gives. ENOENT: it is not there. */
int shelf_open(Shelf *s, const char *name, Store **ret);
