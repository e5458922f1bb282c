/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/check.h"
#include "format/vhdx/write/writer.h"

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

        vhdx_writer_close(n);
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

/* Before anybody writes: is that possible, and is everything in its place? */
static int vhdx_open_for_writing(Node *n, Err *err)
{
        Vhdx *v = n->state;

        if (v->has_parent)
                return err_set(err, EROFS, "a differencing image can only be opened read-only");
        if (!uuid_is_zero(&v->header.log)) {
                CheckReport report = check_report_of(n, CHECK_REPAIR_ALL);
                int r = vhdx_log_replay(n, &report, err);
                if (r < 0)
                        return r;
                n->repaired = true;
        }
        return vhdx_writer_open(n, err);
}

static int vhdx_open(Node *n, Opener *opener, Err *err)
{
        int r = vhdx_read_all(n, err);
        if (r < 0 || !n->writable || n->for_check)
                return r;
        return vhdx_open_for_writing(n, err);
}

const Format format_vhdx = {
        .name = "vhdx",
        .snapshots_lie = "each is a file of its own, which can be shown",
        .magic = { { .at = 0, .len = 8, .bytes = "vhdxfile" } },
        .state_size = sizeof(Vhdx),
        .open = vhdx_open,
        .check_backing = vhdx_check_backing,
        .close = vhdx_close,
        .map = vhdx_map,
        .check = vhdx_check,
        .alloc = vhdx_alloc,
        .publish = vhdx_publish,
        .release = vhdx_release,
        .write_back = vhdx_commit,
        .finish = vhdx_finish,
        .discard = vhdx_discard,
        .resize = vhdx_resize,
        .describe = vhdx_describe,
};
