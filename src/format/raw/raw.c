/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Raw: guest byte g is file byte g. There is nothing to parse, and every byte is in place. */
#include "block/node.h"

#include <errno.h>

static int raw_open(Node *n, Opener *opener, Err *err)
{
        int r = store_get_size(n->store, &n->size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        return 0;
}

static void raw_close(Node *n)
{
}

static int raw_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        *ret = (Extent){
                .kind = EXTENT_DATA,
                .off = 0,
                .len = n->size,
                .store = n->store,
                .pos = 0,
                .in_place = true,
                .unproven = true,
        };
        return 0;
}

/* Where the host cannot punch, nothing is done and block/ writes zeroes. */
static int raw_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        int r = store_punch(n->store, off, len);
        if (r < 0 && r != -EOPNOTSUPP)
                return r;
        *ret_off = off;
        *ret_len = r < 0 ? 0 : len;
        return 0;
}

static int raw_resize(Node *n, uint64_t size)
{
        return store_set_size(n->store, size);
}

const Format format_raw = {
        .name = "raw",
        .open = raw_open,
        .close = raw_close,
        .map = raw_map,
        .discard = raw_discard,
        .resize = raw_resize,
};
