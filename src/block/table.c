/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/table.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>

int table_read(Store *s,
               uint64_t pos,
               uint64_t count,
               size_t entry,
               const char *what,
               void **ret,
               Err *err)
{
        uint64_t len = 0;
        if (__builtin_mul_overflow(count, (uint64_t)entry, &len) || len > LIMIT_TABLE_SIZE)
                return err_set(err, EFBIG,
                               "%s: %" PRIu64
                               " entries of %zu bytes are more than the limit of %" PRIu64 " bytes",
                               what, count, entry, LIMIT_TABLE_SIZE);
        if (len == 0) {
                *ret = NULL;
                return 0;
        }

        uint64_t size = 0;
        int r = store_get_size(s, &size);
        if (r < 0)
                return err_set(err, -r, "%s: cannot get the size of the file: %m", what);
        if (pos >= size)
                return err_set(err, ENODATA,
                               "%s: position %" PRIu64 " is past the end of the file (%" PRIu64
                               " bytes)",
                               what, pos, size);

        /* calloc leaves the pages that nothing is read into to the kernel's zero page. */
        _cleanup_free_ void *bytes = calloc(1, (size_t)len);
        if (!bytes)
                return err_set(err, ENOMEM, "%s: %m", what);
        r = store_read_padded(s, bytes, (size_t)u64_min(len, size - pos), pos);
        if (r < 0)
                return err_set(err, -r, "%s: cannot read it: %m", what);
        *ret = TAKE(bytes);
        return 0;
}

int table_reserve(Cache *c, uint64_t len, const char *what, Err *err)
{
        CacheStat stat;

        if (cache_reserve(c, len) == 0)
                return 0;
        cache_get_stat(c, &stat);
        return err_set(err, EFBIG,
                       "%s: with its %" PRIu64 " bytes the tables of all layers take %" PRIu64
                       " bytes, more than the cache of %" PRIu64
                       " bytes leaves room for; a larger CacheSize= (--cache-size) makes room",
                       what, len, stat.reserved + len, stat.budget);
}
