/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/mem.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

typedef struct MemStore {
        Store store;
        /* Fixed before other threads know it. */
        uint64_t inode;
        bool poor;

        pthread_mutex_t lock;
        uint8_t *bytes;        /* guarded by lock */
        size_t size, capacity; /* guarded by lock; from size on all bytes are zero */
        uint64_t limit;        /* guarded by lock */
} MemStore;

static MemStore *mem_store(Store *s)
{
        return (MemStore *)s;
}

/* The functions down to mem_write want the lock. */

static int mem_reserve(MemStore *m, size_t size)
{
        if (size <= m->capacity)
                return 0;
        size_t capacity = (size_t)u64_max(size, 2 * m->capacity);
        uint8_t *grown = realloc(m->bytes, capacity);
        if (!grown)
                return -ENOMEM;
        memset(grown + m->capacity, 0, capacity - m->capacity);
        m->bytes = grown;
        m->capacity = capacity;
        return 0;
}

static int mem_grow(MemStore *m, uint64_t size)
{
        if (size > MEM_STORE_MAX || (size > m->limit && size > m->size))
                return -ENOSPC;
        int r = mem_reserve(m, (size_t)size);
        if (r < 0)
                return r;
        m->size = (size_t)u64_max(m->size, size);
        return 0;
}

static int mem_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        MemStore *m = mem_store(s);

        LOCKED(&m->lock)
        {
                size_t done = (size_t)u64_min(len, m->size - u64_min(pos, m->size));
                if (done > 0)
                        memcpy(buf, m->bytes + pos, done);
                *ret_done = done;
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
                memcpy(m->bytes + pos, buf, len);
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
                memset(m->bytes + size, 0, m->size - (size_t)size);
                m->size = (size_t)size;
        }
        return 0;
}

static int mem_sync(Store *s)
{
        return 0;
}

static int mem_clear(MemStore *m, uint64_t pos, uint64_t len)
{
        LOCKED(&m->lock)
        {
                size_t inside = (size_t)u64_min(len, m->size - u64_min(pos, m->size));
                if (inside > 0)
                        memset(m->bytes + pos, 0, inside);
        }
        return 0;
}

static int mem_punch(Store *s, uint64_t pos, uint64_t len)
{
        return mem_store(s)->poor ? -EOPNOTSUPP : mem_clear(mem_store(s), pos, len);
}

static int mem_zero(Store *s, uint64_t pos, uint64_t len)
{
        return mem_store(s)->poor ? -EOPNOTSUPP : mem_clear(mem_store(s), pos, len);
}

static int mem_allocate(Store *s, uint64_t pos, uint64_t len)
{
        return mem_store(s)->poor ? -EOPNOTSUPP : 0;
}

/* Is the page at `pos`, as far as there is one, all zero? Wants the lock. */
static bool mem_page_is_hole(const MemStore *m, uint64_t pos)
{
        size_t start = (size_t)round_down(pos, MEM_STORE_PAGE);
        size_t end = (size_t)u64_min(start + MEM_STORE_PAGE, m->size);

        /* All bytes are 0 when the first is, and each is as the one before. */
        return start >= end ||
               (m->bytes[start] == 0 &&
                memcmp(m->bytes + start, m->bytes + start + 1, end - start - 1) == 0);
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
        free(m->bytes);
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
        if (r < 0) {
                mem_free(&m->store);
                return r;
        }
        if (bytes && len > 0)
                memcpy(m->bytes, bytes, len);
        *ret = &m->store;
        return 0;
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
        r = store_read(s, mem_store(copy)->bytes, (size_t)size, 0);
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
