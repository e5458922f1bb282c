/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A format for tests that wants a passphrase and encrypts nothing, and the list of formats of a worker that knows it: all else
 * of that worker is the real one. A header of 512 bytes, then the disk. lock.py makes such images.
 */
#include "base/disk-int.h"
#include "block/node.h"
#include "block/opener.h"
#include "format/formats.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define LOCKED_MAGIC "RAWVIEW-LOCKED\0\0"

typedef struct LockedHeader {
        char magic[16];
        le32 check; /* the CRC-32 of the passphrase */
        char what[32];
        char backing_name[400];
        char zero[60];
} LockedHeader;
_Static_assert(sizeof(LockedHeader) == 512, "the disk begins behind it");

extern const Format format_qcow2;
extern const Format format_locked;

static int locked_fits(void *arg, const Secret *s, Err *err)
{
        const LockedHeader *h = arg;

        if (from_le32(h->check) == crc32(0, s->bytes, (uInt)s->len))
                return 0;
        return err_set(err, EKEYREJECTED, "does not fit");
}

static int locked_open(Node *n, Opener *opener, Err *err)
{
        LockedHeader h;

        int r = store_get_size(n->store, &n->size);
        if (r >= 0)
                r = store_read(n->store, &h, sizeof(h), 0);
        if (r < 0)
                return err_set(err, -r, "cannot read the header: %m");
        n->size -= sizeof(h);
        h.what[sizeof(h.what) - 1] = h.backing_name[sizeof(h.backing_name) - 1] = '\0';
        if (h.backing_name[0]) {
                n->backing_name = strdup(h.backing_name);
                n->backing_format = strdup("locked");
        }
        return opener_unlock(opener, n->store, h.what, locked_fits, &h, err);
}

static void locked_close(Node *n)
{
        (void)n;
}

static int locked_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        (void)off;
        (void)len;
        *ret = (Extent){
                .kind = EXTENT_DATA,
                .len = n->size,
                .store = n->store,
                .pos = sizeof(LockedHeader),
                .in_place = true,
        };
        return 0;
}

const Format format_locked = {
        .name = "locked",
        .magic = { { 0, 16, LOCKED_MAGIC } },
        .open = locked_open,
        .close = locked_close,
        .map = locked_map,
};

const Format *const all_formats[] = {
        &format_qcow2,
        &format_locked,
        NULL,
};
