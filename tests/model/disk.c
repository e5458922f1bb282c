/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "format/formats.h"

#include <string.h>

int disk_open(Disk *d, const DiskRequest *request, Err *err)
{
        _cleanup_cache_ Cache *cache = NULL;
        _cleanup_store_ Store *top = NULL;

        folder_init(&d->opener);
        int r = cache_new(request->cache, &cache);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = folder_open(&d->opener, request->path,
                        request->writable ? STORE_WRITABLE : STORE_READ_ONLY, &top, err);
        if (r < 0)
                return r;
        const char *slash = strrchr(request->path, '/');
        ChainRequest chain = { .formats = all_formats,
                               .raw = &format_raw,
                               .format_name = request->format,
                               .writable = request->writable,
                               .file_name = slash ? slash + 1 : request->path,
                               .opener = &d->opener.opener,
                               .cache = cache };
        r = chain_open(&chain, top, &d->node, err);
        if (r < 0)
                return r;
        TAKE(top);
        d->cache = TAKE(cache);
        return 0;
}

void disk_close(Disk *d)
{
        d->node = node_close(d->node);
        d->cache = cache_free(d->cache);
}
