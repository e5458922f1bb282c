/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pieces of tables and decoded blocks of all layers of a chain, under one memory budget, least recently used out
 * first.
 *
 * Any thread. A piece that is not there is loaded by the thread that misses it, under that entry's own lock: only
 * threads that want the same piece wait. A failed load leaves no entry behind, and each waiter tries by itself.
 * An entry in use is never dropped; entries in use may exceed the budget for as long as they are.
 *
 * It also keeps the account of other memory that images dictate: what they need while they are open is reserved, what a
 * request needs is borrowed. Together with the budget this bounds the memory of a process (block/limits.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Cache Cache;
typedef struct CacheEntry CacheEntry;
typedef struct Crew Crew;

/* Which piece: `owner` is the Node, `kind` tells apart what one owner keeps (CACHE_DECODED is block/'s). */
typedef struct CacheKey {
        const void *owner;
        uint32_t kind;
        uint64_t at;
} CacheKey;

enum {
        CACHE_DECODED = 0, /* kinds from 1 on belong to the drivers */
};

/* Fills `buf` of the entry's length; 0 or a negative errno. */
typedef int (*CacheLoad)(void *arg, const CacheKey *key, void *buf, size_t len);

int cache_new(uint64_t budget, Cache **ret);

/* No entry may be in use. Accepts NULL; returns NULL. */
Cache *cache_free(Cache *c);

/* The piece, in use by the caller until cache_put; always the same `len` for the same key. */
int cache_get(
        Cache *c, const CacheKey *key, size_t len, CacheLoad load, void *arg, CacheEntry **ret);

/* The same where it is there, or on its way: 1. 0: it is not, and is not loaded. */
int cache_find(Cache *c, const CacheKey *key, CacheEntry **ret);

/* The bytes of an entry in use. Read them only: a change needs a lock of the driver's. */
void *cache_entry_bytes(CacheEntry *e);

/* A note of the owner's about an entry in use, 0 after loading; guarded by a lock of the driver's. An entry that is
 * to stay has to stay in use. */
uint32_t *cache_entry_mark(CacheEntry *e);

/* Accepts NULL. */
void cache_put(Cache *c, CacheEntry *e);

/* Forgets one piece, or all of an owner; what is in use goes when it is put. */
void cache_drop(Cache *c, const CacheKey *key);
void cache_drop_owner(Cache *c, const void *owner);

/* Memory that is needed as long as an image is open. Beyond LIMIT_TABLES_SIZE it is taken from the budget, of which
 * LIMIT_CACHE_MIN stays. -EFBIG: there is not so much. */
int cache_reserve(Cache *c, uint64_t bytes);
void cache_release(Cache *c, uint64_t bytes);

/* Another budget from now on; what is too much goes at once, as far as nobody uses it. Gives the budget that it is: never
 * one that would not leave room for what is reserved, and within the bounds of cache_new. */
uint64_t cache_set_budget(Cache *c, uint64_t budget);

/* Memory that is needed for a moment: waits until others have given back so much that there is room within
 * LIMIT_DECODING_SIZE. Who has borrowed does not borrow again. */
void cache_borrow(Cache *c, uint64_t bytes);
void cache_give_back(Cache *c, uint64_t bytes);

/* Who helps to unpack what goes into it (block/crew.h). */
Crew *cache_crew(Cache *c);

typedef struct CacheStat {
        uint64_t hits, misses, bytes, budget, reserved;
} CacheStat;

void cache_get_stat(Cache *c, CacheStat *ret);

static inline void cache_freep(Cache **c)
{
        *c = cache_free(*c);
}
#define _cleanup_cache_ __attribute__((cleanup(cache_freep)))
