/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/cipher-store.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

enum {
        /* What is read or written at a time, under one lock. */
        CIPHER_STORE_PIECE = 256 * 1024,
        CIPHER_STORE_LOCKS = 64,
};

/* A store without an end is as long as a file can be. */
#define CIPHER_STORE_SIZE ((uint64_t)INT64_MAX - 4096)

typedef struct CipherStore {
        Store store;
        /* Fixed. */
        Store *inner;
        SectorCipher *cipher; /* owned */
        uint64_t origin, first;
        uint32_t sector_size;

        /* A piece belongs to one of them. Who writes has it alone: a sector that is half written decrypts to neither its old
         * contents nor its new ones, and who changes a part of one must not undo what another one does to the rest. */
        pthread_rwlock_t locks[CIPHER_STORE_LOCKS];
} CipherStore;

/* Some bytes within one piece, and the whole sectors that they lie in. */
typedef struct CipherRange {
        pthread_rwlock_t *lock;
        uint64_t pos; /* counted from the origin */
        size_t len;
        uint64_t start; /* of the sectors */
        size_t whole;   /* their length */
} CipherRange;

static CipherStore *cipher_store(Store *s)
{
        return (CipherStore *)s;
}

/* The first part of [pos, pos + len), as much as one lock is for. */
static CipherRange cipher_store_range(CipherStore *c, uint64_t pos, size_t len)
{
        uint64_t at = pos - c->origin;
        uint64_t piece = at / CIPHER_STORE_PIECE;
        size_t part = (size_t)u64_min(len, (piece + 1) * CIPHER_STORE_PIECE - at);
        uint64_t start = round_down(at, c->sector_size);

        return (CipherRange){
                .lock = &c->locks[piece % CIPHER_STORE_LOCKS],
                .pos = at,
                .len = part,
                .start = start,
                .whole = (size_t)(round_up(at + part, c->sector_size) - start),
        };
}

static bool cipher_range_is_whole(const CipherRange *r)
{
        return r->whole == r->len;
}

/* Reads and decrypts whole sectors. */
static int cipher_store_load(CipherStore *c, void *buf, size_t len, uint64_t at)
{
        int r = store_read_padded(c->inner, buf, len, c->origin + at);
        if (r < 0)
                return r;
        return sector_cipher_decrypt(c->cipher, c->first + at / SECTOR_CIPHER_UNIT, buf, len);
}

/* A part of one sector. */
static int cipher_store_load_part(CipherStore *c, uint8_t *buf, size_t len, uint64_t at)
{
        uint8_t sector[SECTOR_CIPHER_SECTOR_MAX];
        uint64_t start = round_down(at, c->sector_size);

        int r = cipher_store_load(c, sector, c->sector_size, start);
        if (r >= 0)
                memcpy(buf, sector + (at - start), len);
        return r;
}

/* The ragged ends by way of a sector on the stack, what is between them right into `buf`. */
static int cipher_store_read_range(CipherStore *c, const CipherRange *range, uint8_t *buf)
{
        uint64_t at = range->pos, end = range->pos + range->len;

        while (at < end) {
                uint64_t start = round_down(at, c->sector_size);
                uint64_t sector_end = start + c->sector_size;
                size_t len;
                int r;

                if (start < at || sector_end > end) {
                        len = (size_t)(u64_min(sector_end, end) - at);
                        r = cipher_store_load_part(c, buf, len, at);
                } else {
                        len = (size_t)(round_down(end, c->sector_size) - at);
                        r = cipher_store_load(c, buf, len, at);
                }
                if (r < 0)
                        return r;
                buf += len;
                at += len;
        }
        return 0;
}

static int cipher_store_check(const CipherStore *c, uint64_t pos, size_t len)
{
        return pos >= c->origin && in_range(pos, len, CIPHER_STORE_SIZE) ? 0 : -EINVAL;
}

static int cipher_store_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        CipherStore *c = cipher_store(s);
        uint8_t *to = buf;
        size_t left = len;

        int r = cipher_store_check(c, pos, len);
        while (r >= 0 && left > 0) {
                CipherRange range = cipher_store_range(c, pos, left);
                pthread_rwlock_rdlock(range.lock);
                r = cipher_store_read_range(c, &range, to);
                pthread_rwlock_unlock(range.lock);
                to += range.len;
                pos += range.len;
                left -= range.len;
        }
        if (r < 0)
                return r;
        *ret_done = len;
        return 0;
}

/* What surrounds the bytes to be written within their first and last sector. */
static int cipher_store_load_around(CipherStore *c, const CipherRange *range, uint8_t *bounce)
{
        uint64_t last = range->whole - c->sector_size;
        int r = 0;

        if (range->pos > range->start || range->len < c->sector_size)
                r = cipher_store_load(c, bounce, c->sector_size, range->start);
        if (r >= 0 && last > 0 && range->pos + range->len < range->start + range->whole)
                r = cipher_store_load(c, bounce + last, c->sector_size, range->start + last);
        return r;
}

static int cipher_store_write_range(CipherStore *c,
                                    const CipherRange *range,
                                    const uint8_t *buf,
                                    uint8_t *bounce)
{
        int r = cipher_range_is_whole(range) ? 0 : cipher_store_load_around(c, range, bounce);
        if (r < 0)
                return r;
        memcpy(bounce + (range->pos - range->start), buf, range->len);
        r = sector_cipher_encrypt(c->cipher, c->first + range->start / SECTOR_CIPHER_UNIT, bounce,
                                  range->whole);
        if (r < 0)
                return r;
        return store_write(c->inner, bounce, range->whole, c->origin + range->start);
}

static int cipher_store_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        CipherStore *c = cipher_store(s);
        _cleanup_free_ uint8_t *bounce = NULL;
        const uint8_t *from = buf;

        int r = cipher_store_check(c, pos, len);
        if (r < 0)
                return r;
        bounce = malloc((size_t)u64_min(len + 2 * (uint64_t)c->sector_size, CIPHER_STORE_PIECE));
        if (!bounce)
                return -ENOMEM;
        while (r >= 0 && len > 0) {
                CipherRange range = cipher_store_range(c, pos, len);
                pthread_rwlock_wrlock(range.lock);
                r = cipher_store_write_range(c, &range, from, bounce);
                pthread_rwlock_unlock(range.lock);
                from += range.len;
                pos += range.len;
                len -= range.len;
        }
        return r;
}

static int cipher_store_get_size(Store *s, uint64_t *ret)
{
        *ret = CIPHER_STORE_SIZE;
        return 0;
}

static int cipher_store_set_size(Store *s, uint64_t size)
{
        return -EOPNOTSUPP;
}

static int cipher_store_sync(Store *s)
{
        return store_sync(cipher_store(s)->inner);
}

static int cipher_store_allocate(Store *s, uint64_t pos, uint64_t len)
{
        return store_allocate(cipher_store(s)->inner, pos, len);
}

static int cipher_store_get_stat(Store *s, StoreStat *ret)
{
        return store_get_stat(cipher_store(s)->inner, ret);
}

static void cipher_store_free(Store *s)
{
        CipherStore *c = cipher_store(s);

        sector_cipher_free(c->cipher);
        for (size_t i = 0; i < CIPHER_STORE_LOCKS; i++)
                pthread_rwlock_destroy(&c->locks[i]);
        free(c);
}

static const StoreOps cipher_store_ops = {
        .read = cipher_store_read,
        .write = cipher_store_write,
        .get_size = cipher_store_get_size,
        .set_size = cipher_store_set_size,
        .sync = cipher_store_sync,
        .allocate = cipher_store_allocate,
        .get_stat = cipher_store_get_stat,
        .free = cipher_store_free,
};

int cipher_store_new(const CipherStoreOptions *options, Store **ret)
{
        CipherStore *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->store.ops = &cipher_store_ops;
        c->inner = options->inner;
        c->cipher = options->cipher;
        c->origin = options->origin;
        c->first = options->first;
        c->sector_size = sector_cipher_sector_size(options->cipher);
        for (size_t i = 0; i < CIPHER_STORE_LOCKS; i++)
                pthread_rwlock_init(&c->locks[i], NULL);
        *ret = &c->store;
        return 0;
}
