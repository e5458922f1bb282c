/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A view over a raw disk in memory, for the tests of view/. Each Bench belongs to one test.
 */
#pragma once

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/node.h"
#include "format/formats.h"
#include "store/faulty.h"
#include "store/mem.h"
#include "store/slow.h"
#include "view/view.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
        DISK_SIZE = 10000,
};

/* Everything below a view over a raw disk of DISK_SIZE bytes, each 'a' + its offset modulo 26. */
typedef struct Bench {
        Cache *cache;
        FaultPlan plan;
        Node *node;
        View *view;
} Bench;

static const ViewOptions read_only = {
        .image = "/vm/disk.raw",
        .unit = "",
        .mode = 0400,
        .uid = 1000,
        .gid = 100,
        .wake_fd = -1,
};

static const ViewOptions writable = {
        .image = "/vm/disk.raw",
        .unit = "",
        .mode = 0600,
        .uid = 1000,
        .gid = 100,
        .wake_fd = -1,
        .writable = true,
};

static const ViewOptions growable = {
        .image = "/vm/disk.raw",
        .unit = "",
        .mode = 0600,
        .wake_fd = -1,
        .writable = true,
        .growable = true,
};

static inline char disk_byte(uint64_t off)
{
        return (char)('a' + off % 26);
}

static inline void bench_open_node(Bench *b, bool can_write, unsigned max_usec)
{
        _cleanup_free_ char *bytes = malloc(DISK_SIZE);
        Store *s = NULL, *outer = NULL;

        *b = (Bench){ .plan.code = EIO };
        for (size_t i = 0; i < DISK_SIZE; i++)
                bytes[i] = disk_byte(i);
        assert_int_equal(cache_new(0, &b->cache), 0);
        assert_int_equal(mem_store_new(bytes, DISK_SIZE, &s), 0);
        assert_int_equal(faulty_store_new(s, &b->plan, &outer), 0);
        if (max_usec > 0) {
                s = outer;
                assert_int_equal(slow_store_new(s, max_usec, &outer), 0);
        }

        NodeOptions options = { .writable = can_write, .cache = b->cache };
        assert_int_equal(node_open(&format_raw, outer, &options, NULL, &b->node, NULL), 0);
}

static inline void bench_open(Bench *b, const ViewOptions *options)
{
        bench_open_node(b, options->writable, 0);
        assert_int_equal(view_new(b->node, options, &b->view, NULL), 0);
}

static inline void bench_close(Bench *b)
{
        b->view = view_free(b->view);
        b->node = node_close(b->node);
        b->cache = cache_free(b->cache);
}

static inline uint64_t view_size(View *v)
{
        ViewStat s = { 0 };
        assert_int_equal(view_get_stat(v, &s), 0);
        return s.size;
}
