/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a qcow2 image: opened, mapped, read, written, discarded, resized, flushed, checked and repaired. Nothing may crash, hang or ask for much memory; what is refused is refused.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/node.h"
#include "store/mem.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern const Format format_qcow2;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t max_len);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed);

enum {
        /* Longer inputs find nothing new. */
        INPUT_MAX = 256 << 10,
        AFTER_MAX = 64 << 20,
        PIECE = 64 << 10,
};

static uint64_t number_at(const uint8_t *bytes, size_t len, size_t at)
{
        uint64_t x = 0;
        for (size_t i = 0; i < 8; i++)
                x = x << 8 | bytes[(at + i) % len];
        return x;
}

static void read_around(Node *n, uint64_t off)
{
        static uint8_t buf[PIECE];
        uint64_t size = node_get_size(n), found = 0;

        off = size ? off % size : 0;
        (void)node_read(n, buf, sizeof(buf), off);
        (void)node_find(n, NODE_FIND_DATA, off, &found);
        (void)node_find(n, NODE_FIND_HOLE, off, &found);
}

static void write_around(Node *n, uint64_t choice)
{
        static uint8_t buf[PIECE];
        uint64_t size = node_get_size(n), off = size ? choice % size : 0;
        uint64_t len = choice >> 40 & (PIECE - 1);

        len = len < size - off ? len : size - off;
        memset(buf, (int)choice, sizeof(buf));
        switch (choice >> 60) {
        case 0:
                (void)node_discard(n, off, len);
                break;
        case 1:
                (void)node_zero(n, off, len);
                break;
        case 2:
                (void)node_allocate(n, off, len);
                break;
        case 3:
                (void)node_flush(n);
                break;
        case 4:
                (void)node_resize(n, size > PIECE ? size - PIECE : 0);
                break;
        case 5:
                (void)node_resize(n, size + len);
                break;
        default:
                (void)node_write(n, buf, (size_t)len, off);
        }
}

static Node *open_image(const uint8_t *bytes, size_t len, const NodeOptions *options)
{
        _cleanup_store_ Store *store = NULL;
        Node *n = NULL;
        Err err;

        if (mem_store_new(bytes, len, &store) < 0 ||
            node_open(&format_qcow2, store, options, NULL, &n, &err) < 0)
                return NULL;
        store = NULL;
        return n;
}

/* Does the check find the image to be without corruption? A repair mends a copy. */
static bool is_sound(const uint8_t *bytes, size_t len, Cache *cache, CheckRepair repair)
{
        NodeOptions options = { .cache = cache,
                                .for_check = true,
                                .writable = repair != CHECK_LOOK };
        CheckReport report = { .repair = repair };
        _cleanup_node_ Node *n = open_image(bytes, len, &options);

        return n && node_check(n, &report) == 0 && report.corruptions == 0 &&
               report.check_errors == 0;
}

static void use_node(Node *n, const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < 24; i++) {
                uint64_t choice = number_at(bytes, len, len - 8 * i);
                read_around(n, i < 8 ? i * PIECE : choice);
                if (n->writable)
                        write_around(n, choice);
        }
}

/* Writes to the image, and says whether what it has become is sound; true also where nothing can be said. */
static bool write_image(const uint8_t *bytes, size_t len, Cache *cache)
{
        NodeOptions options = { .cache = cache, .writable = true };
        _cleanup_node_ Node *n = open_image(bytes, len, &options);
        _cleanup_free_ uint8_t *after = NULL;
        uint64_t size = 0;

        if (!n)
                return true;
        use_node(n, bytes, len);
        if (node_flush(n) < 0 || store_get_size(n->store, &size) < 0 || size > AFTER_MAX)
                return true;
        after = malloc((size_t)size + 1);
        return !after || store_read(n->store, after, (size_t)size, 0) < 0 ||
               is_sound(after, (size_t)size, cache, CHECK_LOOK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        NodeOptions options = { 0 };
        _cleanup_cache_ Cache *cache = NULL;

        if (len < 72 || len > INPUT_MAX || cache_new(0, &cache) < 0)
                return 0;
        options.cache = cache;
        _cleanup_node_ Node *n = open_image(bytes, len, &options);
        if (n)
                use_node(n, bytes, len);

        bool was_sound = is_sound(bytes, len, cache, CHECK_LOOK);
        /* What was sound stays sound, whatever is written. */
        if (!write_image(bytes, len, cache) && was_sound)
                abort();
        (void)is_sound(bytes, len, cache, CHECK_REPAIR_ALL);
        return 0;
}

static uint32_t next_random(uint32_t *x)
{
        *x = *x * 1664525 + 1013904223;
        return *x >> 8;
}

/* An entry of a table as one would find it somewhere: flags, and a place at the beginning of one of the clusters. */
static uint64_t made_up_entry(uint32_t *x, unsigned cluster_bits)
{
        uint64_t entry = (uint64_t)(next_random(x) % 80) << cluster_bits;
        uint32_t flags = next_random(x);

        entry |= flags & 1 ? UINT64_C(1) << 63 : 0;
        entry |= (flags & 6) == 6 ? UINT64_C(1) << 62 : 0;
        entry |= (flags & 24) == 24 ? 1 : 0;
        entry ^= (flags & 0x1e0) == 0x1e0 ? UINT64_C(1) << next_random(x) % 64 : 0;
        return (flags & 0x600) == 0x600 ? 0 : entry;
}

/* Half of the time a few whole entries are changed: what is changed bit by bit seldom gets past the first checks. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed)
{
        uint32_t x = seed;

        if (len < 1024 || next_random(&x) % 2)
                return LLVMFuzzerMutate(bytes, len, max_len);
        unsigned cluster_bits = bytes[23] % 22;
        for (uint32_t count = 1 + next_random(&x) % 6; count > 0; count--) {
                size_t at = next_random(&x) % (len / 8) * 8;
                /* Most tables begin with their used entries. */
                if (next_random(&x) % 4)
                        at = (at >> cluster_bits << cluster_bits) + next_random(&x) % 8 * 8;
                uint64_t entry = made_up_entry(&x, cluster_bits);
                for (size_t i = 0; i < 8 && at + i < len; i++)
                        bytes[at + i] = (uint8_t)(entry >> (56 - 8 * i));
        }
        return len;
}
