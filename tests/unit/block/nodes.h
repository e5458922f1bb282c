/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of block/ set up again and again: nodes on images in memory, bytes compared. Main thread only. */
#pragma once

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/node.h"
#include "fake/fake.h"
#include "store/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../fd-count.h"

enum {
        G = 4096, /* a granule */
};

static inline Cache *new_cache(void)
{
        Cache *c = NULL;
        assert_int_equal(cache_new(LIMIT_CACHE_DEFAULT, &c), 0);
        return c;
}

/* Takes `s`. */
static inline Node *open_node_on(const Format *format, Store *s, bool writable, Cache *c)
{
        NodeOptions options = { .writable = writable, .cache = c };
        Node *n = NULL;
        Err err = { "" };
        int r = node_open(format, s, &options, NULL, &n, &err);
        if (r < 0)
                fail_msg("%s", err.text);
        return n;
}

/* Granules of 4096 bytes as the letters of `layout` say; a size of 0 is as many as there are letters. */
static inline Node *open_fake(const char *layout, uint64_t size, bool writable, Cache *c)
{
        FakeImage image = {
                .size = size ? size : strlen(layout) * G,
                .granule = G,
                .layout = layout,
        };
        Store *s = NULL;
        assert_int_equal(fake_make(&image, &s), 0);
        return open_node_on(&format_fake, s, writable, c);
}

/* The same with places for parts of granules: a letter for each `unit` bytes. */
static inline Node *open_fake_units(const char *layout, uint64_t unit, Cache *c)
{
        FakeImage image = {
                .size = strlen(layout) * unit,
                .granule = G,
                .unit = unit,
                .layout = layout,
        };
        Store *s = NULL;
        assert_int_equal(fake_make(&image, &s), 0);
        return open_node_on(&format_fake, s, true, c);
}

/* Do the bytes of the guest disk at [off, off + len) all have this value? */
static inline void assert_guest_bytes(Node *n, uint8_t byte, size_t len, uint64_t off)
{
        _cleanup_free_ uint8_t *buf = malloc(len + 1);
        memset(buf, ~byte, len);
        assert_int_equal(node_read(n, buf, len, off), 0);
        for (size_t i = 0; i < len; i++)
                if (buf[i] != byte)
                        fail_msg("guest byte %llu is %#x, not %#x", (unsigned long long)(off + i),
                                 buf[i], byte);
}

static inline void write_guest_bytes(Node *n, uint8_t byte, size_t len, uint64_t off)
{
        _cleanup_free_ uint8_t *buf = malloc(len + 1);
        memset(buf, byte, len);
        assert_int_equal(node_write(n, buf, len, off), 0);
}

static inline FakeCalls calls_of(Node *n)
{
        FakeCalls calls;
        fake_get_calls(n, &calls);
        return calls;
}
