/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as an overlay that somebody has left (--overlay=FILE): looked at, laid over an image, read and written. The image stays as
 * it is, and nothing but the image is given for whatever name.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/opener.h"
#include "format/formats.h"
#include "fuzz.h"
#include "image.h"
#include "mutate-qcow2.h"
#include "store/mem.h"

#include <errno.h>

extern const Format format_qcow2;

enum {
        INPUT_MAX = 256 << 10,
        DISK_LEN = 1 << 20,
        DISK_BYTE = 0xa5,
        DISK_INODE = 77,
};

/* What the broker does: the image for each name, and nothing to be written. */
static int give_image(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        if (mode == STORE_WRITABLE || strlen(name) % 7 == 6)
                return err_set(err, EACCES, "refused");
        int r = mem_store_new(NULL, DISK_LEN, ret);
        if (r < 0)
                return err_set(err, -r, "%m");
        mem_store_set_inode(*ret, DISK_INODE);
        return 0;
}

static Node *open_disk(Cache *cache)
{
        static uint8_t bytes[DISK_LEN];
        NodeOptions options = { .cache = cache };
        Store *s = NULL;
        Node *n = NULL;

        memset(bytes, DISK_BYTE, sizeof(bytes));
        if (mem_store_new(bytes, sizeof(bytes), &s) < 0)
                exit(1);
        mem_store_set_inode(s, DISK_INODE);
        if (node_open(&format_raw, s, &options, NULL, &n, NULL) < 0)
                exit(1);
        return n;
}

static bool disk_is_as_it_was(Node *n)
{
        static uint8_t bytes[DISK_LEN];

        if (node_read(n, bytes, sizeof(bytes), 0) < 0)
                return false;
        for (size_t i = 0; i < sizeof(bytes); i++)
                if (bytes[i] != DISK_BYTE)
                        return false;
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        Opener opener = { .open = give_image };
        _cleanup_cache_ Cache *cache = NULL;
        _cleanup_store_ Store *store = NULL;
        Node *top = NULL;
        Err err = { "" };

        if (len < 72 || len > INPUT_MAX || cache_new(0, &cache) < 0 ||
            fuzz_image_store(bytes, len, &store) < 0)
                return 0;
        ChainRequest request = {
                .formats = all_formats, .raw = &format_raw, .opener = &opener, .cache = cache
        };
        Node *disk = open_disk(cache);
        int r = chain_lay_over(&request, &format_qcow2, store, disk, &top, &err);
        fuzz_require((r >= 0) == (top != NULL), "an overlay or a failure");
        fuzz_require(r >= 0 || err.text[0] != '\0', "a refusal says why");
        if (r < 0) {
                node_close(disk);
                return 0;
        }
        TAKE(store);
        fuzz_image_map(top);
        fuzz_image_read(top, bytes, len);
        fuzz_image_write(top, bytes, len);
        (void)node_flush(top);
        fuzz_require(disk_is_as_it_was(disk), "the image is as it was");
        node_close(top);
        return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed)
{
        return fuzz_mutate_qcow2(bytes, len, max_len, seed);
}
