/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shards, each with a mutex, a hash table and a list in order of use. A hit touches one shard for a few instructions, and writes
 * nothing that another shard's hits write: a chain looks up a piece in each of its layers. What is among the newest
 * CACHE_FRESH_SHARE of the budget is not moved, so that the order is that of use up to so much. A load runs without any lock:
 * its entry is in the table already, marked as loading, and whoever wants the same piece sleeps on that entry's condition.
 *
 * An entry lives as long as somebody holds it: each user does, and the shard while it has it in its table. So giving one
 * back takes no lock.
 *
 * The budget is one for all shards. What goes first is the oldest of the shards' oldest, by a clock that goes on by the size of
 * every entry that becomes the newest of its shard. The budget and what is reserved of it change under one lock, so that each
 * allows the other.
 */
#include "block/cache.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/crew.h"
#include "block/limits.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum {
        CACHE_SHARDS = 8,
        CACHE_BUCKETS = 512,
        CACHE_FRESH_SHARE = 16, /* one part in so many */
        CACHE_LINE =
                64, /* of the processor: what lies in another one is nobody else's to wait for */
};

typedef enum CacheState {
        CACHE_LOADING,
        CACHE_READY,
        CACHE_FAILED,
} CacheState;

struct CacheEntry {
        /* Fixed. */
        CacheKey key;
        size_t len;
        struct CacheShard *shard;
        pthread_cond_t loaded;

        /* Users, and one more while it is listed. Grows with the shard's lock alone, unless who makes it grow has it in use. */
        atomic_uint holders;

        /* Guarded by the shard's lock. */
        CacheState state;
        bool listed; /* in the table and in the list */
        uint64_t used_at;
        CacheEntry *next_in_bucket;
        CacheEntry *newer, *older;

        /* Guarded by who loads it, then by the drivers' locks. */
        uint32_t mark;
        alignas(max_align_t) uint8_t bytes[];
};

typedef struct CacheShard {
        alignas(CACHE_LINE) pthread_mutex_t lock;
        CacheEntry *buckets[CACHE_BUCKETS]; /* guarded by lock */
        CacheEntry *newest, *oldest;        /* guarded by lock */
        uint64_t hits;                      /* guarded by lock */
} CacheShard;

struct Cache {
        Crew *crew; /* owned */
        atomic_uint_fast64_t clock, bytes, misses;
        pthread_mutex_t budget_lock;
        atomic_uint_fast64_t budget, reserved; /* changed with budget_lock */
        pthread_mutex_t borrow_lock;
        pthread_cond_t given_back;
        uint64_t borrowed; /* guarded by borrow_lock */
        CacheShard shards[CACHE_SHARDS];
};

/* What an entry takes of the budget. */
static uint64_t cache_entry_cost(const CacheEntry *e)
{
        return sizeof(*e) + e->len;
}

static uint64_t cache_hash(const CacheKey *key)
{
        uint64_t x = (uint64_t)(uintptr_t)key->owner ^ (uint64_t)key->kind << 56;
        x = (x ^ key->at) * UINT64_C(0x9e3779b97f4a7c15);
        x ^= x >> 32;
        x *= UINT64_C(0xd6e8feb86659fd93);
        return x ^ x >> 32;
}

static CacheShard *cache_shard(Cache *c, const CacheKey *key)
{
        return &c->shards[cache_hash(key) % CACHE_SHARDS];
}

static CacheEntry **cache_bucket(CacheShard *s, const CacheKey *key)
{
        return &s->buckets[cache_hash(key) / CACHE_SHARDS % CACHE_BUCKETS];
}

static bool cache_key_equals(const CacheKey *a, const CacheKey *b)
{
        return a->owner == b->owner && a->kind == b->kind && a->at == b->at;
}

static uint64_t cache_bound_budget(uint64_t budget)
{
        return u64_max(LIMIT_CACHE_MIN, u64_min(budget, LIMIT_CACHE_MAX));
}

int cache_new(uint64_t budget, Cache **ret)
{
        Cache *c = aligned_alloc(alignof(Cache), sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Cache){ 0 };
        int r = crew_new(&c->crew);
        if (r < 0) {
                free(c);
                return r;
        }
        atomic_init(&c->budget, cache_bound_budget(budget));
        pthread_mutex_init(&c->budget_lock, NULL);
        pthread_mutex_init(&c->borrow_lock, NULL);
        pthread_cond_init(&c->given_back, NULL);
        for (size_t i = 0; i < CACHE_SHARDS; i++)
                pthread_mutex_init(&c->shards[i].lock, NULL);
        *ret = c;
        return 0;
}

/* One holder less: the last one frees it. */
static CacheEntry *cache_entry_unref(CacheEntry *e)
{
        if (e && atomic_fetch_sub_explicit(&e->holders, 1, memory_order_acq_rel) == 1) {
                pthread_cond_destroy(&e->loaded);
                free(e);
        }
        return NULL;
}

static void cache_entry_unrefp(CacheEntry **e)
{
        *e = cache_entry_unref(*e);
}

static void cache_entry_ref(CacheEntry *e)
{
        atomic_fetch_add_explicit(&e->holders, 1, memory_order_relaxed);
}

/* The functions down to cache_take_oldest want the shard's lock. */

static CacheEntry *cache_lookup(CacheShard *s, const CacheKey *key)
{
        CacheEntry *e = *cache_bucket(s, key);
        while (e && !cache_key_equals(&e->key, key))
                e = e->next_in_bucket;
        return e;
}

static void cache_list_remove(CacheShard *s, CacheEntry *e)
{
        *(e->newer ? &e->newer->older : &s->newest) = e->older;
        *(e->older ? &e->older->newer : &s->oldest) = e->newer;
        e->newer = e->older = NULL;
}

static void cache_list_add(Cache *c, CacheShard *s, CacheEntry *e)
{
        e->used_at =
                atomic_fetch_add_explicit(&c->clock, cache_entry_cost(e), memory_order_relaxed);
        e->newer = NULL;
        e->older = s->newest;
        *(e->older ? &e->older->newer : &s->oldest) = e;
        s->newest = e;
}

static void cache_insert(Cache *c, CacheShard *s, CacheEntry *e)
{
        CacheEntry **bucket = cache_bucket(s, &e->key);
        e->next_in_bucket = *bucket;
        *bucket = e;
        cache_list_add(c, s, e);
        cache_entry_ref(e);
        e->listed = true;
        atomic_fetch_add_explicit(&c->bytes, cache_entry_cost(e), memory_order_relaxed);
}

/* Nobody finds the entry any more; it is freed unless somebody uses it. */
static void cache_unlist(Cache *c, CacheShard *s, CacheEntry *e)
{
        CacheEntry **link = cache_bucket(s, &e->key);
        while (*link != e)
                link = &(*link)->next_in_bucket;
        *link = e->next_in_bucket;
        cache_list_remove(s, e);
        e->listed = false;
        atomic_fetch_sub_explicit(&c->bytes, cache_entry_cost(e), memory_order_relaxed);
        cache_entry_unref(e);
}

/* Of an entry that is listed. It may go out of use at any moment, but nobody begins to use it as long as we have the lock. */
static bool cache_is_used(const CacheEntry *e)
{
        return atomic_load_explicit(&e->holders, memory_order_acquire) > 1;
}

static CacheEntry *cache_find_oldest_unused(CacheShard *s)
{
        CacheEntry *e = s->oldest;
        while (e && cache_is_used(e))
                e = e->newer;
        return e;
}

/* The shard whose oldest unused entry is the oldest of all; NULL when everything is in use. */
static CacheShard *cache_find_oldest_shard(Cache *c)
{
        CacheShard *found = NULL;
        uint64_t found_at = UINT64_MAX;

        for (size_t i = 0; i < CACHE_SHARDS; i++) {
                CacheShard *s = &c->shards[i];
                LOCKED(&s->lock)
                {
                        CacheEntry *e = cache_find_oldest_unused(s);
                        if (e && e->used_at < found_at) {
                                found = s;
                                found_at = e->used_at;
                        }
                }
        }
        return found;
}

/* What of the budget is taken by memory that is reserved. */
static uint64_t cache_taken(Cache *c)
{
        uint64_t reserved = atomic_load_explicit(&c->reserved, memory_order_relaxed);
        return u64_max(reserved, LIMIT_TABLES_SIZE) - LIMIT_TABLES_SIZE;
}

/* What is left of the budget for entries. Another thread may change both numbers between our looks at them. */
static uint64_t cache_room(Cache *c)
{
        uint64_t budget = atomic_load_explicit(&c->budget, memory_order_relaxed);
        return budget - u64_min(cache_taken(c), budget);
}

/* Brings the cache back under its budget, as far as nobody uses what would have to go. */
static void cache_trim(Cache *c)
{
        while (atomic_load_explicit(&c->bytes, memory_order_relaxed) > cache_room(c)) {
                CacheShard *s = cache_find_oldest_shard(c);
                if (!s)
                        return;
                LOCKED(&s->lock)
                {
                        CacheEntry *out = cache_find_oldest_unused(s);
                        if (out)
                                cache_unlist(c, s, out);
                }
        }
}

static int cache_entry_new(CacheShard *s, const CacheKey *key, size_t len, CacheEntry **ret)
{
        size_t total = 0;
        if (__builtin_add_overflow(sizeof(CacheEntry), len, &total))
                return -ENOMEM;
        CacheEntry *e = malloc(total);
        if (!e)
                return -ENOMEM;
        *e = (CacheEntry){
                .key = *key, .len = len, .shard = s, .state = CACHE_LOADING, .holders = 1
        };
        pthread_cond_init(&e->loaded, NULL);
        *ret = e;
        return 0;
}

/* Are there less than a share of the budget of entries that are newer? */
static bool cache_is_fresh(Cache *c, const CacheEntry *e)
{
        uint64_t now = atomic_load_explicit(&c->clock, memory_order_relaxed);
        uint64_t budget = atomic_load_explicit(&c->budget, memory_order_relaxed);

        return now - e->used_at <= budget / CACHE_FRESH_SHARE;
}

/* An entry that another thread has or is loading: 1 when it is ours to use now, 0 when its load failed. Wants the
 * shard's lock, and lets go of it while it waits. */
static int cache_join(Cache *c, CacheShard *s, CacheEntry *e)
{
        cache_entry_ref(e);
        while (e->state == CACHE_LOADING)
                pthread_cond_wait(&e->loaded, &s->lock);
        if (e->state == CACHE_FAILED) {
                cache_entry_unref(e);
                return 0;
        }
        /* Also the newest of its shard: it is compared with those of the others. */
        if (e->listed && !cache_is_fresh(c, e)) {
                cache_list_remove(s, e);
                cache_list_add(c, s, e);
        }
        s->hits++;
        return 1;
}

/* What is there, or `fresh`, inserted as loading. 1: found; 0: `fresh` was inserted, or there is nothing and no
 * `fresh` either; -EAGAIN: a load that we waited for failed, and we try by ourselves. */
static int cache_find_or_insert(
        Cache *c, CacheShard *s, const CacheKey *key, CacheEntry *fresh, CacheEntry **ret)
{
        LOCKED(&s->lock)
        {
                CacheEntry *e = cache_lookup(s, key);
                if (e) {
                        if (cache_join(c, s, e) == 0)
                                return -EAGAIN;
                        *ret = e;
                        return 1;
                }
                if (fresh)
                        cache_insert(c, s, fresh);
        }
        return 0;
}

/* Runs the load of an entry that this thread has inserted. */
static int cache_load(Cache *c, CacheEntry *e, CacheLoad load, void *arg)
{
        CacheShard *s = e->shard;

        int r = load(arg, &e->key, e->bytes, e->len);
        LOCKED(&s->lock)
        {
                e->state = r < 0 ? CACHE_FAILED : CACHE_READY;
                if (r < 0 && e->listed)
                        cache_unlist(c, s, e);
                pthread_cond_broadcast(&e->loaded);
        }
        if (r < 0)
                cache_entry_unref(e);
        return r;
}

static int cache_get_missing(
        Cache *c, const CacheKey *key, size_t len, CacheLoad load, void *arg, CacheEntry **ret)
{
        _cleanup_(cache_entry_unrefp) CacheEntry *fresh = NULL;
        CacheShard *s = cache_shard(c, key);
        CacheEntry *found = NULL;

        int r = cache_entry_new(s, key, len, &fresh);
        if (r < 0)
                return r;
        r = cache_find_or_insert(c, s, key, fresh, &found);
        if (r < 0)
                return r;
        if (r == 1) {
                *ret = found;
                return 0;
        }

        CacheEntry *e = TAKE(fresh);
        atomic_fetch_add_explicit(&c->misses, 1, memory_order_relaxed);
        cache_trim(c);
        r = cache_load(c, e, load, arg);
        if (r < 0)
                return r == -EAGAIN ? -EIO : r;
        *ret = e;
        return 0;
}

int cache_find(Cache *c, const CacheKey *key, CacheEntry **ret)
{
        return cache_find_or_insert(c, cache_shard(c, key), key, NULL, ret) == 1;
}

int cache_get(
        Cache *c, const CacheKey *key, size_t len, CacheLoad load, void *arg, CacheEntry **ret)
{
        CacheShard *s = cache_shard(c, key);
        CacheEntry *found = NULL;
        int r = 0;

        do {
                r = cache_find_or_insert(c, s, key, NULL, &found);
                if (r == 1) {
                        *ret = found;
                        return 0;
                }
                if (r == 0)
                        r = cache_get_missing(c, key, len, load, arg, ret);
        } while (r == -EAGAIN);
        return r;
}

void *cache_entry_bytes(CacheEntry *e)
{
        return e->bytes;
}

uint32_t *cache_entry_mark(CacheEntry *e)
{
        return &e->mark;
}

void cache_put(Cache *c, CacheEntry *e)
{
        if (!e)
                return;
        cache_entry_unref(e);
        /* It was in use when the budget was last looked at. */
        if (atomic_load_explicit(&c->bytes, memory_order_relaxed) > cache_room(c))
                cache_trim(c);
}

void cache_drop(Cache *c, const CacheKey *key)
{
        CacheShard *s = cache_shard(c, key);

        LOCKED(&s->lock)
        {
                CacheEntry *e = cache_lookup(s, key);
                if (e)
                        cache_unlist(c, s, e);
        }
}

static void cache_shard_drop_owner(Cache *c, CacheShard *s, const void *owner)
{
        CacheEntry *next = NULL;
        for (CacheEntry *e = s->newest; e; e = next) {
                next = e->older;
                if (!owner || e->key.owner == owner)
                        cache_unlist(c, s, e);
        }
}

void cache_drop_owner(Cache *c, const void *owner)
{
        for (size_t i = 0; i < CACHE_SHARDS; i++)
                LOCKED(&c->shards[i].lock)
                {
                        cache_shard_drop_owner(c, &c->shards[i], owner);
                }
}

Cache *cache_free(Cache *c)
{
        if (!c)
                return NULL;
        crew_free(c->crew);
        for (size_t i = 0; i < CACHE_SHARDS; i++) {
                cache_shard_drop_owner(c, &c->shards[i], NULL);
                pthread_mutex_destroy(&c->shards[i].lock);
        }
        pthread_cond_destroy(&c->given_back);
        pthread_mutex_destroy(&c->borrow_lock);
        pthread_mutex_destroy(&c->budget_lock);
        free(c);
        return NULL;
}

int cache_reserve(Cache *c, uint64_t bytes)
{
        LOCKED(&c->budget_lock)
        {
                uint64_t most = LIMIT_TABLES_SIZE + atomic_load(&c->budget) - LIMIT_CACHE_MIN;
                if (bytes > most - atomic_load(&c->reserved))
                        return -EFBIG;
                atomic_fetch_add(&c->reserved, bytes);
        }
        cache_trim(c);
        return 0;
}

void cache_release(Cache *c, uint64_t bytes)
{
        LOCKED(&c->budget_lock)
        {
                atomic_fetch_sub(&c->reserved, bytes);
        }
}

uint64_t cache_set_budget(Cache *c, uint64_t budget)
{
        uint64_t now = cache_bound_budget(budget);

        LOCKED(&c->budget_lock)
        {
                now = u64_max(now, LIMIT_CACHE_MIN + cache_taken(c));
                atomic_store(&c->budget, now);
        }
        cache_trim(c);
        return now;
}

void cache_borrow(Cache *c, uint64_t bytes)
{
        LOCKED(&c->borrow_lock)
        {
                while (c->borrowed > 0 && c->borrowed + bytes > LIMIT_DECODING_SIZE)
                        pthread_cond_wait(&c->given_back, &c->borrow_lock);
                c->borrowed += bytes;
        }
}

void cache_give_back(Cache *c, uint64_t bytes)
{
        LOCKED(&c->borrow_lock)
        {
                c->borrowed -= bytes;
                pthread_cond_broadcast(&c->given_back);
        }
}

Crew *cache_crew(Cache *c)
{
        return c->crew;
}

void cache_get_stat(Cache *c, CacheStat *ret)
{
        uint64_t hits = 0;

        for (size_t i = 0; i < CACHE_SHARDS; i++)
                LOCKED(&c->shards[i].lock)
                {
                        hits += c->shards[i].hits;
                }
        *ret = (CacheStat){
                .hits = hits,
                .misses = atomic_load_explicit(&c->misses, memory_order_relaxed),
                .bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed),
                .budget = atomic_load_explicit(&c->budget, memory_order_relaxed),
                .reserved = atomic_load_explicit(&c->reserved, memory_order_relaxed),
        };
}
