/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vhdx/vhdx.h"

#include "block/table.h"

#include <errno.h>
#include <stdlib.h>

int vhdx_reserve(Node *n, uint64_t len, const char *what, Err *err)
{
        Vhdx *v = n->state;

        int r = table_reserve(n->cache, len, what, err);
        if (r >= 0)
                v->reserved += len;
        return r;
}

static void vhdx_close(Node *n)
{
        Vhdx *v = n->state;

        cache_release(n->cache, v->reserved);
        store_free(v->replayed);
        free(v->regions);
        *v = (Vhdx){ 0 };
}

/* The log comes before all that it may change, which is everything but the headers. */
static int vhdx_read_all(Node *n, Err *err)
{
        Vhdx *v = n->state;

        int r = vhdx_headers_read(n, err);
        if (r >= 0)
                r = vhdx_log_open(n, err);
        if (r < 0)
                return r;
        r = store_get_size(v->store, &v->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = vhdx_regions_read(n, err);
        return r < 0 ? r : vhdx_metadata_read(n, err);
}

static int vhdx_open(Node *n, Opener *opener, Err *err)
{
        if (n->snapshot)
                return err_set(err, ENOENT, "snapshot '%s': a VHDX image has no snapshots",
                               n->snapshot);
        if (n->writable && !n->for_check)
                return err_set(err, EROFS, "a VHDX image can only be opened read-only");
        return vhdx_read_all(n, err);
}

const Format format_vhdx = {
        .name = "vhdx",
        .magic = { { .at = 0, .len = 8, .bytes = "vhdxfile" } },
        .state_size = sizeof(Vhdx),
        .open = vhdx_open,
        .check_backing = vhdx_check_backing,
        .close = vhdx_close,
        .map = vhdx_map,
        .check = vhdx_check,
        .describe = vhdx_describe,
};
