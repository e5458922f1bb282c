/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/store.h"

#include "base/bits.h"

#include <errno.h>
#include <string.h>

int store_read(Store *s, void *buf, size_t len, uint64_t pos)
{
        size_t done = 0;
        int r = s->ops->read(s, buf, len, pos, &done);
        if (r < 0)
                return r;
        return done < len ? -ENODATA : 0;
}

int store_read_named(Store *s, void *buf, size_t len, uint64_t pos, const char *what, Err *err)
{
        int r = store_read(s, buf, len, pos);

        if (r == -ENODATA)
                return err_set(err, ENODATA, "the file ends within %s", what);
        if (r < 0)
                return err_set(err, -r, "cannot read %s: %m", what);
        return 0;
}

int store_read_padded(Store *s, void *buf, size_t len, uint64_t pos)
{
        size_t done = 0;
        int r = s->ops->read(s, buf, len, pos, &done);
        if (r < 0)
                return r;
        memset((uint8_t *)buf + done, 0, len - done);
        return 0;
}

/* To be called when a change is over, before it is told to anybody: a sync that comes later has to see it. Also one that
 * failed may have changed something. */
static int store_note_change(Store *s, int r)
{
        atomic_fetch_add(&s->changes, 1);
        return r;
}

int store_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        return store_note_change(s, s->ops->write(s, buf, len, pos));
}

int store_get_size(Store *s, uint64_t *ret)
{
        return s->ops->get_size(s, ret);
}

int store_set_size(Store *s, uint64_t size)
{
        return store_note_change(s, s->ops->set_size(s, size));
}

void store_note_foreign_change(Store *s)
{
        (void)store_note_change(s, 0);
}

int store_sync(Store *s)
{
        uint64_t now = atomic_load(&s->changes) + 1;

        if (atomic_load(&s->synced) == now)
                return 0;
        int r = s->ops->sync(s);
        /* Whoever syncs at the same time may have seen more changes, or fewer: then there is one sync too many. */
        if (r >= 0)
                atomic_store(&s->synced, now);
        return r;
}

int store_punch(Store *s, uint64_t pos, uint64_t len)
{
        return s->ops->punch ? store_note_change(s, s->ops->punch(s, pos, len)) : -EOPNOTSUPP;
}

static int store_write_zeroes(Store *s, uint64_t pos, uint64_t len)
{
        static const uint8_t zeroes[65536];

        while (len > 0) {
                size_t n = (size_t)u64_min(len, sizeof(zeroes));
                int r = store_write(s, zeroes, n, pos);
                if (r < 0)
                        return r;
                pos += n;
                len -= n;
        }
        return 0;
}

int store_zero(Store *s, uint64_t pos, uint64_t len)
{
        uint64_t size = 0;
        int r = store_get_size(s, &size);
        if (r < 0)
                return r;
        if (pos >= size)
                return 0;
        len = u64_min(len, size - pos);

        r = s->ops->zero ? store_note_change(s, s->ops->zero(s, pos, len)) : -EOPNOTSUPP;
        return r == -EOPNOTSUPP ? store_write_zeroes(s, pos, len) : r;
}

int store_allocate(Store *s, uint64_t pos, uint64_t len)
{
        return s->ops->allocate ? store_note_change(s, s->ops->allocate(s, pos, len)) : -EOPNOTSUPP;
}

int store_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        uint64_t size = 0;
        int r = store_get_size(s, &size);
        if (r < 0)
                return r;
        if (pos >= size) {
                *ret = (StoreRun){ .is_hole = true, .end = UINT64_MAX };
                return 0;
        }
        if (s->ops->find_run)
                return s->ops->find_run(s, pos, ret);
        *ret = (StoreRun){ .is_hole = false, .end = size };
        return 0;
}

int store_get_stat(Store *s, StoreStat *ret)
{
        if (s->ops->get_stat)
                return s->ops->get_stat(s, ret);
        memset(ret, 0, sizeof(*ret));
        return 0;
}

void store_forget(Store *s, uint64_t pos, uint64_t len)
{
        if (s->ops->forget)
                s->ops->forget(s, pos, len);
}

Store *store_free(Store *s)
{
        if (s)
                s->ops->free(s);
        return NULL;
}
