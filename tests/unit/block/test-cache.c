/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
        PIECE = 256 * 1024,
        IN_BUDGET = 15, /* pieces that fit LIMIT_CACHE_MIN beside their own overhead */
};

/* What a load does, and how often it was asked. */
typedef struct Loader {
        atomic_int loads;
        int code;
        unsigned wait_usec;
        atomic_bool started;
        atomic_bool may_end;
        bool waits;
} Loader;

static int loader_load(void *arg, const CacheKey *key, void *buf, size_t len)
{
        Loader *l = arg;

        atomic_fetch_add(&l->loads, 1);
        atomic_store(&l->started, true);
        if (l->wait_usec)
                usleep(l->wait_usec);
        while (l->waits && !atomic_load(&l->may_end))
                usleep(100);
        if (l->code)
                return -l->code;
        memset(buf, (int)(key->at + key->kind), len);
        return 0;
}

static CacheKey key_of(uint64_t at)
{
        static const char owner;
        return (CacheKey){ .owner = &owner, .kind = 1, .at = at };
}

/* Gets and puts one piece: was it there? */
static bool touch(Cache *c, uint64_t at)
{
        Loader l = { 0 };
        CacheKey key = key_of(at);
        CacheEntry *e = NULL;

        assert_int_equal(cache_get(c, &key, PIECE, loader_load, &l, &e), 0);
        assert_int_equal(((uint8_t *)cache_entry_bytes(e))[PIECE - 1], (uint8_t)(at + 1));
        cache_put(c, e);
        return atomic_load(&l.loads) == 0;
}

static Cache *open_small(void)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(0, &c), 0);
        return c;
}

static uint64_t bytes_of(Cache *c)
{
        CacheStat stat;
        cache_get_stat(c, &stat);
        return stat.bytes;
}

static void test_a_piece_is_loaded_once(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        CacheStat stat;

        assert_false(touch(c, 1));
        assert_true(touch(c, 1));
        assert_false(touch(c, 2));
        assert_true(touch(c, 1));
        cache_get_stat(c, &stat);
        assert_int_equal(stat.misses, 2);
        assert_int_equal(stat.hits, 2);
        assert_in_range(stat.bytes, 2 * PIECE, 2 * PIECE + 1000);
        assert_int_equal(stat.budget, LIMIT_CACHE_MIN);
}

static void test_the_budget_has_bounds(void **state)
{
        static const uint64_t cases[][2] = {
                { 0, LIMIT_CACHE_MIN },
                { LIMIT_CACHE_DEFAULT, LIMIT_CACHE_DEFAULT },
                { UINT64_MAX, LIMIT_CACHE_MAX },
        };
        for (size_t i = 0; i < 3; i++) {
                _cleanup_cache_ Cache *c = NULL;
                CacheStat stat;
                assert_int_equal(cache_new(cases[i][0], &c), 0);
                cache_get_stat(c, &stat);
                assert_int_equal(stat.budget, cases[i][1]);
        }
}

static void test_keys_differ_in_every_part(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        char owners[2];
        const CacheKey keys[] = { { &owners[0], 0, 5 },
                                  { &owners[1], 0, 5 },
                                  { &owners[0], 1, 5 },
                                  { &owners[0], 0, 6 } };
        Loader l = { 0 };
        for (int round = 0; round < 2; round++)
                for (size_t i = 0; i < 4; i++) {
                        CacheEntry *e = NULL;
                        assert_int_equal(cache_get(c, &keys[i], 8, loader_load, &l, &e), 0);
                        cache_put(c, e);
                }
        assert_int_equal(atomic_load(&l.loads), 4);
}

static void test_the_least_recently_used_goes_first(void **state)
{
        _cleanup_cache_ Cache *c = open_small();

        for (uint64_t i = 0; i < IN_BUDGET; i++)
                assert_false(touch(c, i));
        /* 0 and 3 are used again; two more pieces drive out 1 and 2. */
        assert_true(touch(c, 0));
        assert_true(touch(c, 3));
        assert_false(touch(c, 100));
        assert_false(touch(c, 101));
        assert_true(bytes_of(c) <= LIMIT_CACHE_MIN);
        for (uint64_t i = 4; i < IN_BUDGET; i++)
                assert_true(touch(c, i));
        assert_true(touch(c, 0));
        assert_true(touch(c, 3));
        assert_false(touch(c, 1));
}

static void test_what_is_in_use_stays(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        CacheEntry *held[IN_BUDGET + 5];
        Loader l = { 0 };

        for (uint64_t i = 0; i < IN_BUDGET + 5; i++) {
                CacheKey key = key_of(i);
                assert_int_equal(cache_get(c, &key, PIECE, loader_load, &l, &held[i]), 0);
        }
        assert_true(bytes_of(c) > LIMIT_CACHE_MIN);
        for (uint64_t i = 0; i < IN_BUDGET + 5; i++)
                assert_int_equal(((uint8_t *)cache_entry_bytes(held[i]))[7], i + 1);
        for (uint64_t i = 0; i < IN_BUDGET + 5; i++)
                cache_put(c, held[i]);
        assert_true(bytes_of(c) <= LIMIT_CACHE_MIN);
        cache_put(c, NULL);
}

static void test_a_piece_larger_than_the_budget(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        CacheKey key = key_of(1);
        CacheEntry *e = NULL;
        Loader l = { 0 };

        assert_int_equal(cache_get(c, &key, LIMIT_CACHE_MIN + 1, loader_load, &l, &e), 0);
        cache_put(c, e);
        assert_int_equal(bytes_of(c), 0);
        /* And one that no machine has. */
        assert_int_equal(cache_get(c, &key, SIZE_MAX - 8, loader_load, &l, &e), -ENOMEM);
        assert_int_equal(bytes_of(c), 0);
}

static void test_a_failed_load_leaves_nothing(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        CacheKey key = key_of(1);
        CacheEntry *e = NULL;
        Loader l = { .code = EBADMSG };

        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &e), -EBADMSG);
        assert_null(e);
        assert_int_equal(bytes_of(c), 0);
        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &e), -EBADMSG);
        assert_int_equal(atomic_load(&l.loads), 2);
        /* A load may not make the cache try for ever. */
        l.code = EAGAIN;
        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &e), -EIO);
        l.code = 0;
        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &e), 0);
        cache_put(c, e);
}

static void test_dropping(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        CacheKey key = key_of(1), missing = key_of(99);

        touch(c, 1);
        touch(c, 2);
        cache_drop(c, &missing);
        cache_drop(c, &key);
        assert_true(touch(c, 2));
        assert_false(touch(c, 1));
        cache_drop_owner(c, &c);
        assert_true(touch(c, 1));
        cache_drop_owner(c, key.owner);
        assert_int_equal(bytes_of(c), 0);
        assert_false(touch(c, 1));
}

static void test_dropping_what_is_in_use(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        CacheKey key = key_of(1);
        CacheEntry *old = NULL, *again = NULL, *fresh = NULL;
        Loader l = { 0 };

        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &old), 0);
        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &again), 0);
        assert_ptr_equal(old, again);
        cache_drop(c, &key);
        assert_int_equal(cache_get(c, &key, 8, loader_load, &l, &fresh), 0);
        assert_int_equal(atomic_load(&l.loads), 2);
        assert_ptr_not_equal(old, fresh);
        assert_int_equal(((uint8_t *)cache_entry_bytes(old))[0], 2);
        cache_put(c, old);
        cache_drop_owner(c, key.owner);
        cache_put(c, again);
        cache_put(c, fresh);
        assert_int_equal(bytes_of(c), 0);
}

typedef struct Getter {
        Cache *cache;
        Loader *loader;
        CacheKey key;
        int result;
        pthread_t thread;
} Getter;

static void *getter_run(void *arg)
{
        Getter *g = arg;
        CacheEntry *e = NULL;

        g->result = cache_get(g->cache, &g->key, 64, loader_load, g->loader, &e);
        if (g->result == 0)
                cache_put(g->cache, e);
        return NULL;
}

static void test_hits_do_not_wait_for_loads(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        Loader slow = { .waits = true };
        Getter getter = { .cache = c, .loader = &slow, .key = key_of(500) };

        for (uint64_t i = 0; i < 12; i++)
                touch(c, i);
        assert_int_equal(pthread_create(&getter.thread, NULL, getter_run, &getter), 0);
        while (!atomic_load(&slow.started))
                usleep(100);
        /* All shards are met; the slow load is under way all the while. */
        for (uint64_t i = 0; i < 12; i++)
                assert_true(touch(c, i));
        assert_false(touch(c, 13));
        atomic_store(&slow.may_end, true);
        pthread_join(getter.thread, NULL);
        assert_int_equal(getter.result, 0);
}

static void run_getters(Getter *getters, size_t count)
{
        for (size_t i = 0; i < count; i++)
                assert_int_equal(pthread_create(&getters[i].thread, NULL, getter_run, &getters[i]),
                                 0);
        for (size_t i = 0; i < count; i++)
                pthread_join(getters[i].thread, NULL);
}

static void test_one_load_serves_all_who_wait(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        Loader slow = { .wait_usec = 20000 };
        Getter getters[8];

        for (size_t i = 0; i < 8; i++)
                getters[i] = (Getter){ .cache = c, .loader = &slow, .key = key_of(1) };
        run_getters(getters, 8);
        for (size_t i = 0; i < 8; i++)
                assert_int_equal(getters[i].result, 0);
        assert_int_equal(atomic_load(&slow.loads), 1);
}

static void test_each_waiter_tries_by_itself_after_a_failure(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        Loader slow = { .wait_usec = 5000, .code = EIO };
        Getter getters[8];

        for (size_t i = 0; i < 8; i++)
                getters[i] = (Getter){ .cache = c, .loader = &slow, .key = key_of(1) };
        run_getters(getters, 8);
        for (size_t i = 0; i < 8; i++)
                assert_int_equal(getters[i].result, -EIO);
        assert_int_equal(atomic_load(&slow.loads), 8);
        assert_int_equal(bytes_of(c), 0);
}

static void test_dropping_during_a_load(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        Loader slow = { .waits = true };
        Getter getter = { .cache = c, .loader = &slow, .key = key_of(1) };

        assert_int_equal(pthread_create(&getter.thread, NULL, getter_run, &getter), 0);
        while (!atomic_load(&slow.started))
                usleep(100);
        cache_drop(c, &getter.key);
        atomic_store(&slow.may_end, true);
        pthread_join(getter.thread, NULL);
        assert_int_equal(getter.result, 0);
        assert_int_equal(bytes_of(c), 0);
        assert_false(touch(c, 1));
}

/* Threads that get, hold, drop and fail at random. */
typedef struct Crowd {
        Cache *cache;
        uint32_t x;
        atomic_bool *broken;
        pthread_t thread;
} Crowd;

static void crowd_step(Crowd *w)
{
        CacheKey key = key_of(w->x % 40);
        Loader l = { .code = w->x / 64 % 16 == 0 ? EIO : 0 };
        CacheEntry *e = NULL;

        int r = cache_get(w->cache, &key, PIECE, loader_load, &l, &e);
        if (r < 0) {
                if (r != -EIO || atomic_load(&l.loads) != 1)
                        atomic_store(w->broken, true);
                return;
        }
        if (((uint8_t *)cache_entry_bytes(e))[w->x % PIECE] != (uint8_t)(key.at + 1))
                atomic_store(w->broken, true);
        if (w->x / 4096 % 8 == 0)
                cache_drop(w->cache, &key);
        if (w->x / 4096 % 64 == 1)
                cache_drop_owner(w->cache, key.owner);
        cache_put(w->cache, e);
}

static void test_reserved_memory_takes_the_place_of_pieces(void **state)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(4 * LIMIT_CACHE_MIN, &c), 0);
        uint64_t most = LIMIT_TABLES_SIZE + 3 * LIMIT_CACHE_MIN;

        for (uint64_t at = 0; at < 3 * IN_BUDGET; at++)
                touch(c, at);
        /* What is free takes nothing away. */
        assert_int_equal(cache_reserve(c, LIMIT_TABLES_SIZE), 0);
        assert_true(touch(c, 0));
        assert_int_equal(cache_reserve(c, most - LIMIT_TABLES_SIZE + 1), -EFBIG);
        assert_int_equal(cache_reserve(c, UINT64_MAX), -EFBIG);
        assert_true(touch(c, 0));
        assert_true(bytes_of(c) > LIMIT_CACHE_MIN);
        assert_int_equal(cache_reserve(c, most - LIMIT_TABLES_SIZE), 0);
        assert_true(bytes_of(c) <= LIMIT_CACHE_MIN);
        assert_int_equal(cache_reserve(c, 1), -EFBIG);

        cache_release(c, most);
        CacheStat stat;
        cache_get_stat(c, &stat);
        assert_int_equal(stat.reserved, 0);
        for (uint64_t at = 0; at < 3 * IN_BUDGET; at++)
                touch(c, at);
        assert_true(bytes_of(c) > 2 * LIMIT_CACHE_MIN);
        cache_free(c);
}

static void test_the_budget_can_change(void **state)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(4 * LIMIT_CACHE_MIN, &c), 0);
        for (uint64_t at = 0; at < 4 * IN_BUDGET; at++)
                touch(c, at);
        assert_true(bytes_of(c) > 3 * LIMIT_CACHE_MIN);

        /* What is too much goes at once, the oldest first. */
        assert_int_equal(cache_set_budget(c, 2 * LIMIT_CACHE_MIN), 2 * LIMIT_CACHE_MIN);
        assert_in_range(bytes_of(c), LIMIT_CACHE_MIN, 2 * LIMIT_CACHE_MIN);
        assert_true(touch(c, 4 * IN_BUDGET - 1));
        assert_false(touch(c, 0));
        assert_int_equal(cache_set_budget(c, 8 * LIMIT_CACHE_MIN), 8 * LIMIT_CACHE_MIN);
        for (uint64_t at = 0; at < 6 * IN_BUDGET; at++)
                touch(c, at);
        assert_true(touch(c, 0));

        assert_int_equal(cache_set_budget(c, 0), LIMIT_CACHE_MIN);
        assert_true(bytes_of(c) <= LIMIT_CACHE_MIN);
        assert_int_equal(cache_set_budget(c, UINT64_MAX), LIMIT_CACHE_MAX);
        cache_free(c);
}

static void test_the_budget_keeps_what_is_reserved(void **state)
{
        const uint64_t taken = LIMIT_CACHE_MIN + 4096;
        Cache *c = NULL;

        assert_int_equal(cache_new(4 * LIMIT_CACHE_MIN, &c), 0);
        assert_int_equal(cache_reserve(c, LIMIT_TABLES_SIZE + taken), 0);
        assert_int_equal(cache_set_budget(c, LIMIT_CACHE_MIN), LIMIT_CACHE_MIN + taken);
        assert_int_equal(cache_reserve(c, 1), -EFBIG);
        assert_int_equal(cache_set_budget(c, 4 * LIMIT_CACHE_MIN), 4 * LIMIT_CACHE_MIN);
        assert_int_equal(cache_reserve(c, 1), 0);
        cache_release(c, LIMIT_TABLES_SIZE + taken + 1);
        assert_int_equal(cache_set_budget(c, 0), LIMIT_CACHE_MIN);
        cache_free(c);
}

static void test_what_is_in_use_stays_when_the_budget_shrinks(void **state)
{
        Cache *c = NULL;
        CacheEntry *e[2 * IN_BUDGET];

        assert_int_equal(cache_new(4 * LIMIT_CACHE_MIN, &c), 0);
        for (uint64_t at = 0; at < 2 * IN_BUDGET; at++) {
                CacheKey key = key_of(at);
                Loader l = { 0 };
                assert_int_equal(cache_get(c, &key, PIECE, loader_load, &l, &e[at]), 0);
        }
        assert_int_equal(cache_set_budget(c, 0), LIMIT_CACHE_MIN);
        for (uint64_t at = 0; at < 2 * IN_BUDGET; at++)
                assert_int_equal(((uint8_t *)cache_entry_bytes(e[at]))[0], (uint8_t)(at + 1));
        for (uint64_t at = 0; at < 2 * IN_BUDGET; at++)
                cache_put(c, e[at]);
        assert_true(bytes_of(c) <= LIMIT_CACHE_MIN);
        cache_free(c);
}

typedef struct Borrower {
        Cache *cache;
        uint64_t bytes;
        atomic_uint_fast64_t *borrowed;
        atomic_bool *broken;
        pthread_t thread;
} Borrower;

static void *borrower_run(void *arg)
{
        Borrower *b = arg;

        for (int i = 0; i < 2000; i++) {
                cache_borrow(b->cache, b->bytes);
                if (atomic_fetch_add(b->borrowed, b->bytes) + b->bytes > LIMIT_DECODING_SIZE)
                        atomic_store(b->broken, true);
                atomic_fetch_sub(b->borrowed, b->bytes);
                cache_give_back(b->cache, b->bytes);
        }
        return NULL;
}

static void test_borrowers_wait_for_one_another(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        atomic_uint_fast64_t borrowed = 0;
        atomic_bool broken = false;
        Borrower borrowers[6];

        for (size_t i = 0; i < 6; i++) {
                borrowers[i] = (Borrower){ c, LIMIT_DECODING_SIZE / 4 + i, &borrowed, &broken, 0 };
                assert_int_equal(
                        pthread_create(&borrowers[i].thread, NULL, borrower_run, &borrowers[i]), 0);
        }
        for (size_t i = 0; i < 6; i++)
                pthread_join(borrowers[i].thread, NULL);
        assert_false(atomic_load(&broken));
        /* Who wants more than there is gets it alone. */
        cache_borrow(c, 2 * LIMIT_DECODING_SIZE);
        cache_give_back(c, 2 * LIMIT_DECODING_SIZE);
}

static void *crowd_run(void *arg)
{
        Crowd *w = arg;
        for (int i = 0; i < 400; i++) {
                w->x = w->x * 1664525 + 1013904223;
                crowd_step(w);
        }
        return NULL;
}

static void test_a_crowd(void **state)
{
        _cleanup_cache_ Cache *c = open_small();
        atomic_bool broken = false;
        Crowd crowd[8];

        for (uint32_t i = 0; i < 8; i++) {
                crowd[i] = (Crowd){ .cache = c, .x = i * 77777, .broken = &broken };
                assert_int_equal(pthread_create(&crowd[i].thread, NULL, crowd_run, &crowd[i]), 0);
        }
        /* A reload, and another, and an image that needs more. */
        for (uint64_t i = 0; i < 200; i++) {
                (void)cache_set_budget(c, LIMIT_CACHE_MIN * (1 + i % 3));
                if (cache_reserve(c, LIMIT_TABLES_SIZE + i * 4096) == 0)
                        cache_release(c, LIMIT_TABLES_SIZE + i * 4096);
        }
        for (size_t i = 0; i < 8; i++)
                pthread_join(crowd[i].thread, NULL);
        assert_int_equal(cache_set_budget(c, 0), LIMIT_CACHE_MIN);
        assert_false(atomic_load(&broken));
        assert_true(bytes_of(c) <= LIMIT_CACHE_MIN);
        cache_drop_owner(c, key_of(0).owner);
        assert_int_equal(bytes_of(c), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_piece_is_loaded_once),
                cmocka_unit_test(test_the_budget_has_bounds),
                cmocka_unit_test(test_keys_differ_in_every_part),
                cmocka_unit_test(test_the_least_recently_used_goes_first),
                cmocka_unit_test(test_what_is_in_use_stays),
                cmocka_unit_test(test_a_piece_larger_than_the_budget),
                cmocka_unit_test(test_a_failed_load_leaves_nothing),
                cmocka_unit_test(test_dropping),
                cmocka_unit_test(test_dropping_what_is_in_use),
                cmocka_unit_test(test_hits_do_not_wait_for_loads),
                cmocka_unit_test(test_one_load_serves_all_who_wait),
                cmocka_unit_test(test_each_waiter_tries_by_itself_after_a_failure),
                cmocka_unit_test(test_dropping_during_a_load),
                cmocka_unit_test(test_a_crowd),
                cmocka_unit_test(test_reserved_memory_takes_the_place_of_pieces),
                cmocka_unit_test(test_the_budget_can_change),
                cmocka_unit_test(test_the_budget_keeps_what_is_reserved),
                cmocka_unit_test(test_what_is_in_use_stays_when_the_budget_shrinks),
                cmocka_unit_test(test_borrowers_wait_for_one_another),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
