/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/mem.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

enum {
        /* What is never written to takes no memory, and no time to copy. */
        CHUNK_SIZE = 64 << 10,
        CHUNK_COUNT = MEM_STORE_MAX / CHUNK_SIZE,
};

typedef struct MemStore {
        Store store;
        /* Fixed before other threads know it. */
        uint64_t inode;
        bool poor;

        pthread_mutex_t lock;
        uint8_t *chunks[CHUNK_COUNT]; /* guarded by lock; each owned, NULL: all zeroes */
        uint64_t size;                /* guarded by lock; from size on all bytes are zero */
        uint64_t limit;               /* guarded by lock */
} MemStore;

/* The part of a range that lies in one chunk. */
typedef struct MemPart {
        size_t chunk, at, len;
} MemPart;

static MemStore *mem_store(Store *s)
{
        return (MemStore *)s;
}

static MemPart mem_first_part(uint64_t pos, uint64_t len)
{
        size_t at = (size_t)(pos % CHUNK_SIZE);

        return (MemPart){ (size_t)(pos / CHUNK_SIZE), at, (size_t)u64_min(len, CHUNK_SIZE - at) };
}

/* The functions down to mem_page_is_hole want the lock. */

static int mem_grow(MemStore *m, uint64_t size)
{
        if (size > MEM_STORE_MAX || (size > m->limit && size > m->size))
                return -ENOSPC;
        m->size = u64_max(m->size, size);
        return 0;
}

static uint64_t mem_len_inside(const MemStore *m, uint64_t pos, uint64_t len)
{
        return u64_min(len, m->size - u64_min(pos, m->size));
}

/* Of bytes that lie within the size. */
static void mem_get(const MemStore *m, uint8_t *to, uint64_t len, uint64_t pos)
{
        while (len > 0) {
                MemPart p = mem_first_part(pos, len);
                if (m->chunks[p.chunk])
                        memcpy(to, m->chunks[p.chunk] + p.at, p.len);
                else
                        memset(to, 0, p.len);
                to += p.len;
                pos += p.len;
                len -= p.len;
        }
}

/* Within the size; what was put before an ENOMEM stays. */
static int mem_put(MemStore *m, const uint8_t *from, uint64_t len, uint64_t pos)
{
        while (len > 0) {
                MemPart p = mem_first_part(pos, len);
                uint8_t **chunk = &m->chunks[p.chunk];
                if (!*chunk)
                        *chunk = calloc(1, CHUNK_SIZE);
                if (!*chunk)
                        return -ENOMEM;
                memcpy(*chunk + p.at, from, p.len);
                from += p.len;
                pos += p.len;
                len -= p.len;
        }
        return 0;
}

static void mem_clear(MemStore *m, uint64_t pos, uint64_t len)
{
        while (len > 0) {
                MemPart p = mem_first_part(pos, len);
                if (p.len == CHUNK_SIZE) {
                        free(m->chunks[p.chunk]);
                        m->chunks[p.chunk] = NULL;
                } else if (m->chunks[p.chunk]) {
                        memset(m->chunks[p.chunk] + p.at, 0, p.len);
                }
                pos += p.len;
                len -= p.len;
        }
}

static bool mem_is_zero(const uint8_t *bytes, size_t len)
{
        /* All bytes are 0 when the first is, and each is as the one before. */
        return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static int mem_put_sparse(MemStore *m, const uint8_t *from, size_t len)
{
        int r = 0;

        for (size_t pos = 0; r >= 0 && pos < len; pos += CHUNK_SIZE) {
                size_t part = (size_t)u64_min(len - pos, CHUNK_SIZE);
                if (!mem_is_zero(from + pos, part))
                        r = mem_put(m, from + pos, part, pos);
        }
        return r;
}

/* Is the page at `pos`, as far as there is one, all zero? */
static bool mem_page_is_hole(const MemStore *m, uint64_t pos)
{
        MemPart p = mem_first_part(round_down(pos, MEM_STORE_PAGE), MEM_STORE_PAGE);

        return pos >= m->size || !m->chunks[p.chunk] ||
               mem_is_zero(m->chunks[p.chunk] + p.at, MEM_STORE_PAGE);
}

static int mem_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                *ret_done = (size_t)mem_len_inside(m, pos, len);
                mem_get(m, buf, *ret_done, pos);
        }
        return 0;
}

static int mem_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                uint64_t end = 0;
                if (__builtin_add_overflow(pos, (uint64_t)len, &end))
                        return -EFBIG;
                if (len == 0)
                        break;
                int r = mem_grow(m, end);
                if (r < 0)
                        return r;
                return mem_put(m, buf, len, pos);
        }
        return 0;
}

static int mem_get_size(Store *s, uint64_t *ret)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                *ret = m->size;
        }
        return 0;
}

static int mem_set_size(Store *s, uint64_t size)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                int r = mem_grow(m, size);
                if (r < 0)
                        return r;
                mem_clear(m, size, m->size - size);
                m->size = size;
        }
        return 0;
}

static int mem_sync(Store *s)
{
        return 0;
}

static int mem_clear_inside(MemStore *m, uint64_t pos, uint64_t len)
{
        LOCKED(&m->lock)
        {
                mem_clear(m, pos, mem_len_inside(m, pos, len));
        }
        return 0;
}

static int mem_punch(Store *s, uint64_t pos, uint64_t len)
{
        return mem_store(s)->poor ? -EOPNOTSUPP : mem_clear_inside(mem_store(s), pos, len);
}

static int mem_zero(Store *s, uint64_t pos, uint64_t len)
{
        return mem_store(s)->poor ? -EOPNOTSUPP : mem_clear_inside(mem_store(s), pos, len);
}

static int mem_allocate(Store *s, uint64_t pos, uint64_t len)
{
        return mem_store(s)->poor ? -EOPNOTSUPP : 0;
}

static int mem_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                bool is_hole = mem_page_is_hole(m, pos);
                uint64_t end = round_down(pos, MEM_STORE_PAGE) + MEM_STORE_PAGE;
                while (end < m->size && mem_page_is_hole(m, end) == is_hole)
                        end += MEM_STORE_PAGE;
                *ret = (StoreRun){ .is_hole = is_hole, .end = u64_min(end, m->size) };
        }
        return 0;
}

static int mem_get_stat(Store *s, StoreStat *ret)
{
        MemStore *m = mem_store(s);
        uint64_t allocated = 0;

        LOCKED(&m->lock)
        {
                for (uint64_t pos = 0; pos < m->size; pos += MEM_STORE_PAGE)
                        allocated += mem_page_is_hole(m, pos) ? 0 : MEM_STORE_PAGE;
        }
        *ret = (StoreStat){ .allocated = allocated, .device = 1, .inode = m->inode };
        return 0;
}

static void mem_free(Store *s)
{
        MemStore *m = mem_store(s);
        pthread_mutex_destroy(&m->lock);
        mem_clear(m, 0, MEM_STORE_MAX);
        free(m);
}

static const StoreOps mem_ops = {
        .read = mem_read,
        .write = mem_write,
        .get_size = mem_get_size,
        .set_size = mem_set_size,
        .sync = mem_sync,
        .punch = mem_punch,
        .zero = mem_zero,
        .allocate = mem_allocate,
        .find_run = mem_find_run,
        .get_stat = mem_get_stat,
        .free = mem_free,
};

int mem_store_new(const void *bytes, size_t len, Store **ret)
{
        MemStore *m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->store.ops = &mem_ops;
        /* No other open store has this address. */
        m->inode = (uint64_t)(uintptr_t)m;
        m->limit = MEM_STORE_MAX;
        pthread_mutex_init(&m->lock, NULL);

        int r = mem_grow(m, len);
        if (r >= 0 && bytes)
                r = mem_put_sparse(m, bytes, len);
        if (r < 0) {
                mem_free(&m->store);
                return r;
        }
        *ret = &m->store;
        return 0;
}

static int mem_copy_from(MemStore *m, Store *s)
{
        _cleanup_free_ uint8_t *buf = malloc(CHUNK_SIZE);
        int r = buf ? 0 : -ENOMEM;

        for (uint64_t pos = 0; r >= 0 && pos < m->size; pos += CHUNK_SIZE) {
                MemPart p = mem_first_part(pos, m->size - pos);
                r = store_read(s, buf, p.len, pos);
                if (r >= 0 && !mem_is_zero(buf, p.len))
                        r = mem_put(m, buf, p.len, pos);
        }
        return r;
}

int mem_store_copy(Store *s, Store **ret)
{
        _cleanup_store_ Store *copy = NULL;
        uint64_t size = 0;

        int r = store_get_size(s, &size);
        if (r < 0)
                return r;
        if (size > MEM_STORE_MAX)
                return -EFBIG;
        r = mem_store_new(NULL, (size_t)size, &copy);
        if (r < 0)
                return r;
        /* Nobody else knows the copy yet. */
        r = mem_copy_from(mem_store(copy), s);
        if (r < 0)
                return r;
        *ret = TAKE(copy);
        return 0;
}

void mem_store_set_inode(Store *s, uint64_t inode)
{
        mem_store(s)->inode = inode;
}

void mem_store_set_limit(Store *s, uint64_t size)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                m->limit = size;
        }
}

void mem_store_make_poor(Store *s)
{
        mem_store(s)->poor = true;
}
