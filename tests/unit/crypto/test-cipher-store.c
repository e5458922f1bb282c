/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/cipher-store.h"

#include "store/mem.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
        ORIGIN = 4096 + 512, /* not on a border of anything larger than a sector */
        DISK = 1 << 20,
};

static Store *open_over(Store *inner, uint32_t sector_size, uint64_t first)
{
        SectorCipherKind kind = { .cipher = "aes", .mode = "xts-plain64" };
        SectorCipher *c = NULL;
        uint8_t key[64];
        Store *s = NULL;

        kind.sector_size = sector_size;
        memset(key, 7, 32);
        memset(key + 32, 9, 32);
        assert_int_equal(sector_cipher_new(&kind, key, sizeof(key), &c, NULL), 0);
        CipherStoreOptions options = {
                .inner = inner,
                .cipher = c,
                .origin = ORIGIN,
                .first = first,
        };
        assert_int_equal(cipher_store_new(&options, &s), 0);
        return s;
}

static uint32_t next_random(uint32_t *seed)
{
        *seed = *seed * 1664525 + 1013904223;
        return *seed >> 8;
}

/* Writes and reads of any length at any place, against plain memory; and at the end the file decrypted as a whole. */
static void check_random(uint32_t sector_size)
{
        static uint8_t model[DISK], buf[DISK];
        _cleanup_store_ Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        uint32_t seed = sector_size;

        assert_int_equal(mem_store_new(NULL, ORIGIN + DISK, &inner), 0);
        s = open_over(inner, sector_size, 0);
        memset(model, 0, sizeof(model));
        assert_int_equal(store_zero(s, ORIGIN, DISK), 0);
        for (int i = 0; i < 600; i++) {
                uint32_t max = i % 10 == 0 ? 400 << 10 : i % 2 ? 3 * sector_size : 9000;
                uint32_t off = next_random(&seed) % DISK;
                uint32_t len = next_random(&seed) % max;
                len = len < DISK - off ? len : DISK - off;
                if (next_random(&seed) % 2) {
                        for (uint32_t k = 0; k < len; k++)
                                buf[k] = (uint8_t)next_random(&seed);
                        memcpy(model + off, buf, len);
                        assert_int_equal(store_write(s, buf, len, ORIGIN + off), 0);
                        assert_memory_equal(buf, model + off, len);
                } else {
                        assert_int_equal(store_read(s, buf, len, ORIGIN + off), 0);
                        assert_memory_equal(buf, model + off, len);
                }
        }
        assert_int_equal(store_read(inner, buf, DISK, ORIGIN), 0);
        assert_memory_not_equal(buf, model, DISK);
        assert_int_equal(store_read(s, buf, DISK, ORIGIN), 0);
        assert_memory_equal(buf, model, DISK);
}

static void test_any_place_and_length(void **state)
{
        check_random(512);
        check_random(1024);
        check_random(4096);
}

static void test_sectors_are_numbered_from_the_origin(void **state)
{
        SectorCipherKind kind = { .cipher = "aes", .mode = "xts-plain64", .sector_size = 512 };
        _cleanup_sector_cipher_ SectorCipher *c = NULL;
        _cleanup_store_ Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        uint8_t key[64], sector[512] = "a sector", raw[512];

        memset(key, 7, 32);
        memset(key + 32, 9, 32);
        assert_int_equal(sector_cipher_new(&kind, key, sizeof(key), &c, NULL), 0);
        assert_int_equal(mem_store_new(NULL, ORIGIN + 4096, &inner), 0);
        s = open_over(inner, 512, 1000);
        assert_int_equal(store_write(s, sector, 512, ORIGIN + 1024), 0);
        assert_int_equal(store_read(inner, raw, 512, ORIGIN + 1024), 0);
        assert_int_equal(sector_cipher_decrypt(c, 1002, raw, 512), 0);
        assert_memory_equal(raw, sector, 512);
}

static void test_there_is_no_hole_and_no_end(void **state)
{
        _cleanup_store_ Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        uint8_t buf[1024], zero[1024] = { 0 };
        uint64_t size = 0;
        StoreRun run;

        assert_int_equal(mem_store_new(NULL, ORIGIN + 8192, &inner), 0);
        s = open_over(inner, 512, 0);
        assert_int_equal(store_find_run(s, ORIGIN, &run), 0);
        assert_false(run.is_hole);
        assert_int_equal(store_punch(s, ORIGIN, 4096), -EOPNOTSUPP);
        assert_int_equal(store_set_size(s, 0), -EOPNOTSUPP);

        /* What was never written is noise, and so it is behind the end. */
        assert_int_equal(store_read(s, buf, sizeof(buf), ORIGIN), 0);
        assert_memory_not_equal(buf, zero, sizeof(buf));
        assert_int_equal(store_read(s, buf, sizeof(buf), ORIGIN + 8192), 0);
        assert_memory_not_equal(buf, zero, sizeof(buf));

        /* Zeroes are written there as well as anything else is. */
        assert_int_equal(store_zero(s, ORIGIN + 8000, 1000), 0);
        assert_int_equal(store_read(s, buf, 1000, ORIGIN + 8000), 0);
        assert_memory_equal(buf, zero, 1000);
        assert_int_equal(store_get_size(inner, &size), 0);
        assert_int_equal(size, ORIGIN + 9216);
}

static void test_nothing_lies_before_the_origin(void **state)
{
        _cleanup_store_ Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        uint8_t buf[16] = { 0 };

        assert_int_equal(mem_store_new(NULL, ORIGIN + 8192, &inner), 0);
        s = open_over(inner, 512, 0);
        assert_int_equal(store_read(s, buf, 16, ORIGIN - 1), -EINVAL);
        assert_int_equal(store_write(s, buf, 16, 0), -EINVAL);
        assert_int_equal(store_write(s, buf, 16, UINT64_MAX - 8), -EINVAL);
}

/* Threads that each own the bytes of one residue in the same few sectors: none undoes what another one wrote. */

enum {
        THREADS = 8,
        ROUNDS = 400,
};

typedef struct Owner {
        Store *store;
        unsigned number;
        int wrong;
} Owner;

static void *own_bytes(void *arg)
{
        Owner *o = arg;

        for (int i = 0; i < ROUNDS; i++) {
                uint64_t at = ORIGIN + 64 * o->number + 512 * (uint64_t)(i % 3);
                uint8_t mine[64], seen[64];
                memset(mine, (int)(o->number * 31 + (unsigned)i), sizeof(mine));
                o->wrong += store_write(o->store, mine, sizeof(mine), at) != 0;
                o->wrong += store_read(o->store, seen, sizeof(seen), at) != 0;
                o->wrong += memcmp(mine, seen, sizeof(mine)) != 0;
        }
        return NULL;
}

static void test_threads_share_sectors(void **state)
{
        _cleanup_store_ Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        pthread_t threads[THREADS];
        Owner owners[THREADS];

        assert_int_equal(mem_store_new(NULL, ORIGIN + 8192, &inner), 0);
        s = open_over(inner, 512, 0);
        for (unsigned i = 0; i < THREADS; i++) {
                owners[i] = (Owner){ .store = s, .number = i };
                assert_int_equal(pthread_create(&threads[i], NULL, own_bytes, &owners[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(owners[i].wrong, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_any_place_and_length),
                cmocka_unit_test(test_sectors_are_numbered_from_the_origin),
                cmocka_unit_test(test_there_is_no_hole_and_no_end),
                cmocka_unit_test(test_nothing_lies_before_the_origin),
                cmocka_unit_test(test_threads_share_sectors),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
