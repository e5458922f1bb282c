/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opened.h"

#include "block/cache.h"
#include "store/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void opened_try(
        Opened *o, const Format *format, const void *bytes, size_t len, const NodeOptions *wanted)
{
        NodeOptions options = wanted ? *wanted : (NodeOptions){ .writable = false };

        *o = (Opened){ 0 };
        assert_int_equal(cache_new(0, &o->cache), 0);
        assert_int_equal(mem_store_new(bytes, len, &o->store), 0);
        options.cache = o->cache;
        o->r = node_open(format, o->store, &options, NULL, &o->node, &o->err);
        if (o->r < 0)
                o->store = store_free(o->store);
}

void opened_make(Opened *o, const Format *format, const void *bytes, size_t len, bool writable)
{
        NodeOptions options = { .writable = writable };

        opened_try(o, format, bytes, len, &options);
        if (o->r < 0)
                fail_msg("%s", o->err.text);
}

void opened_done(Opened *o)
{
        node_close(o->node);
        cache_free(o->cache);
}

uint64_t opened_file_size(const Opened *o)
{
        uint64_t size = 0;

        assert_int_equal(store_get_size(o->store, &size), 0);
        return size;
}

void opened_expect_byte(const Opened *o, uint64_t off, uint8_t byte)
{
        uint8_t found = 0;

        assert_int_equal(node_read(o->node, &found, 1, off), 0);
        assert_int_equal(found, byte);
}

void opened_expect_refusal(const Opened *o, int r, const char *words)
{
        assert_int_equal(o->r, r);
        if (!strstr(o->err.text, words))
                fail_msg("'%s' is not in: %s", words, o->err.text);
}
