/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the driver's writing do again and again: images opened to be written to, their bytes looked at.
 * Main thread only. */
#pragma once

#include "base/cleanup.h"
#include "fake/audit.h"
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        C = 512, /* a cluster of most tests: image_begin(…, 9, …) */
        L2 = 3,  /* where image_begin puts the first L2 table */
};

#define COPIED IMAGE_COPIED
#define PACKED IMAGE_COMPRESSED
#define ZERO UINT64_C(1)

/* Fails the test when the image cannot be opened for writing. */
static inline void open_or_fail(const Image *i, Opened *ret)
{
        image_open_writable(i, NULL, ret);
        if (ret->r < 0)
                fail_msg("%s", ret->err.text);
}

/* A number that the file holds; zeroes past its end. */
static inline uint64_t stored(Opened *o, uint64_t pos, unsigned width)
{
        uint8_t bytes[8];
        uint64_t value = 0;
        assert_int_equal(store_read_padded(o->node->store, bytes, width, pos), 0);
        for (unsigned k = 0; k < width; k++)
                value = value << 8 | bytes[k];
        return value;
}

static inline uint64_t stored_size(Opened *o)
{
        uint64_t size = 0;
        assert_int_equal(store_get_size(o->node->store, &size), 0);
        return size;
}

/* What the file says of one of the first 256 clusters, with refcounts of 16 bits. */
static inline uint64_t stored_refcount(Opened *o, uint64_t cluster)
{
        uint64_t block =
                stored(o, stored(o, IMAGE_REFCOUNT_TABLE_OFFSET, 8) + cluster / 256 * 8, 8);
        return block == 0 ? 0 : stored(o, block + cluster % 256 * 2, 2);
}

static inline void write_bytes(Opened *o, uint8_t byte, size_t len, uint64_t off)
{
        _cleanup_free_ uint8_t *buf = malloc(len + 1);
        memset(buf, byte, len);
        assert_int_equal(node_write(o->node, buf, len, off), 0);
}

static inline int try_write(Opened *o, uint8_t byte, size_t len, uint64_t off)
{
        _cleanup_free_ uint8_t *buf = malloc(len + 1);
        memset(buf, byte, len);
        return node_write(o->node, buf, len, off);
}

static inline void assert_bytes(Opened *o, uint8_t byte, size_t len, uint64_t off)
{
        _cleanup_free_ uint8_t *buf = malloc(len + 1);
        memset(buf, ~byte, len);
        assert_int_equal(node_read(o->node, buf, len, off), 0);
        for (size_t i = 0; i < len; i++)
                if (buf[i] != byte)
                        fail_msg("guest byte %" PRIu64 " is %#x, not %#x", off + i, buf[i], byte);
}

/* Twice: what the first one has made safe to give up is given up with the second. */
static inline void flush(Opened *o)
{
        assert_int_equal(node_flush(o->node), 0);
        assert_int_equal(node_flush(o->node), 0);
}

/* Everything flushed, no damage, no leak. */
static inline void assert_sound(Opened *o)
{
        Audit audit;
        flush(o);
        assert_int_equal(audit_qcow2(o->node->store, &audit), 0);
        if (audit.corruptions + audit.leaks > 0)
                fail_msg("%" PRIu64 " corruptions, %" PRIu64 " leaks, first: %s", audit.corruptions,
                         audit.leaks, audit.text);
}

/* Writes everything down, forgets all and opens what the file holds. */
static inline void reopen(Opened *o)
{
        NodeOptions options = { .writable = true, .cache = o->cache };
        const Format *format = o->node->format;
        assert_int_equal(node_flush(o->node), 0);
        Store *s = TAKE(o->node->store);
        node_close(o->node);
        o->r = node_open(format, s, &options, NULL, &o->node, &o->err);
        if (o->r < 0)
                fail_msg("%s", o->err.text);
}
