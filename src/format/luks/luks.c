/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LUKS1 and LUKS2 containers: a header with key slots, then the disk, encrypted in place. The header is never written to.
 *
 * What nobody has written decrypts to noise, as it does for dm-crypt and QEMU: so nothing of the disk is a hole.
 */
#include "base/bits.h"
#include "block/check.h"
#include "block/info-luks.h"
#include "block/node.h"
#include "block/opener.h"
#include "crypto/cipher-store.h"
#include "crypto/luks-key.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
        LUKS_FILE_SECTOR = 512,
};

/* What a disk may grow by at once: some seconds. */
#define LUKS_GROWTH_MAX (UINT64_C(4) << 30)

typedef struct Luks {
        /* Fixed after open. */
        LuksHeader header;
        Store *disk; /* owned: the file, decrypted; NULL while it is locked */

        uint64_t available; /* how much of the disk the file has; guarded by layout */
} Luks;

/* What a passphrase is tried with. */
typedef struct LuksLock {
        LuksPlace place;
        const LuksHeader *header;
        SectorCipher *cipher; /* owned; the result */
} LuksLock;

static int luks_fits(void *arg, const Secret *s, Err *err)
{
        LuksLock *lock = arg;
        return luks_key_unlock(&lock->place, lock->header, s, &lock->cipher, err);
}

static int luks_unlock(Node *n, const LuksPlace *place, Opener *opener, Err *err)
{
        Luks *l = n->state;
        LuksLock lock = { .place = *place, .header = &l->header };

        int r = opener_unlock(opener, n->store, "luks", luks_fits, &lock, err);
        if (r < 0)
                return r;
        CipherStoreOptions options = {
                .inner = n->store,
                .cipher = lock.cipher,
                .origin = l->header.payload_pos,
                .first = l->header.iv_first,
        };
        r = cipher_store_new(&options, &l->disk);
        if (r < 0)
                sector_cipher_free(lock.cipher);
        return r < 0 ? err_set(err, -r, "%m") : 0;
}

/* A container that goes to the end of the file: whole sectors of it. QEMU takes one that is begun for whole, too. */
static int luks_set_size(Node *n, uint64_t file_size, Err *err)
{
        Luks *l = n->state;
        const LuksHeader *h = &l->header;
        uint64_t there = round_up(file_size - h->payload_pos, LUKS_FILE_SECTOR);

        l->available = round_down(there, h->kind.sector_size);
        n->size = h->payload_len == LUKS_PAYLOAD_TO_END ? l->available : h->payload_len;
        if (!is_aligned(n->size, h->kind.sector_size))
                return err_set(err, EBADMSG,
                               "the size %" PRIu64 " of segment 0 is no multiple of its sector "
                               "size %u",
                               n->size, h->kind.sector_size);
        l->available = u64_min(l->available, n->size);
        return 0;
}

static int luks_open(Node *n, Opener *opener, Err *err)
{
        Luks *l = n->state;
        LuksPlace place = { .store = n->store };

        int r = store_get_size(n->store, &place.len);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = luks_header_read(&place, &l->header, err);
        if (r >= 0)
                r = luks_set_size(n, place.len, err);
        if (r < 0 || n->for_check || n->stays_locked)
                return r;
        return luks_unlock(n, &place, opener, err);
}

static void luks_close(Node *n)
{
        Luks *l = n->state;

        l->disk = store_free(l->disk);
}

/* Of a file that was cut off, what is missing cannot be read. */
static int luks_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Luks *l = n->state;

        if (off >= l->available)
                return -EIO;
        *ret = (Extent){
                .kind = EXTENT_DATA,
                .off = 0,
                .len = l->available,
                .store = l->disk,
                .pos = l->header.payload_pos,
                .in_place = true,
        };
        return 0;
}

/* A longer disk is one that ends in encrypted zeroes. Nobody is served meanwhile, so that it cannot grow by any length at once. That it is
 * longer the file says by itself: if the power fails before all of it is there, what is missing is noise; so it is synced. */
static int luks_grow(Node *n, uint64_t end)
{
        Luks *l = n->state;
        uint64_t payload = l->header.payload_pos;

        if (end - n->size > LUKS_GROWTH_MAX)
                return -EFBIG;
        int r = store_zero(l->disk, payload + n->size, end - n->size);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                (void)store_set_size(n->store, payload + l->available);
        return r;
}

/* What is cut off within the last sector is zeroed: whoever makes the disk longer again finds no old bytes there. */
static int luks_shrink(Node *n, uint64_t size, uint64_t end)
{
        Luks *l = n->state;
        uint64_t payload = l->header.payload_pos;

        int r = store_zero(l->disk, payload + size, end - size);
        return r < 0 ? r : store_set_size(n->store, payload + end);
}

static int luks_resize(Node *n, uint64_t size)
{
        Luks *l = n->state;
        uint64_t end = round_up(size, l->header.kind.sector_size);

        /* Another length of the segment would be another header. */
        if (l->header.payload_len != LUKS_PAYLOAD_TO_END)
                return -EOPNOTSUPP;
        int r = size > n->size ? luks_grow(n, end) : luks_shrink(n, size, end);
        if (r >= 0)
                l->available = end;
        return r;
}

/* The binary headers and texts of LUKS2 are there twice. What else could be wrong has been a reason not to open it. */
static int luks_check(Node *n, CheckReport *report)
{
        const Luks *l = n->state;

        if (l->header.copy_is_bad)
                check_corruption(report, "%s", l->header.why_bad);
        report->image_end = l->header.payload_pos + l->available;
        return 0;
}

static int luks_describe(Node *n, Info *info)
{
        const Luks *l = n->state;

        info->encrypted = true;
        return info_add_luks(info, &l->header, NULL);
}

const Format format_luks = {
        .name = "luks",
        .magic = { { .at = 0, .len = 6, .bytes = "LUKS\xba\xbe" } },
        .state_size = sizeof(Luks),
        .open = luks_open,
        .close = luks_close,
        .map = luks_map,
        .resize = luks_resize,
        .check = luks_check,
        .describe = luks_describe,
};
