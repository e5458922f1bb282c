/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of check and repair share: a small sound image, ways to damage it, and what a check says. Main thread
 * only. */
#pragma once

#include "base/cleanup.h"
#include "block/check.h"
#include "block/limits.h"
#include "store/mem.h"
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_qcow2;

enum {
        CS = 512,
        DISK = 8 * CS,
        /* Places in the image of sound_image. */
        AT_TABLE = 1 * CS,
        AT_L1 = 2 * CS,
        AT_L2 = 3 * CS,
        AT_DATA = 4 * CS, /* guest clusters 0 and 1 */
        AT_BLOCK = 6 * CS,
        AT_END = 7 * CS,
        CHANGES = 5,
};

#define COPIED IMAGE_COPIED
#define PACKED IMAGE_COMPRESSED
#define ZERO UINT64_C(1)
#define FAR_AWAY (UINT64_C(1) << 40)

#define L2_AT(k) (AT_L2 + 8 * (k))
#define COUNT_AT(k) (AT_BLOCK + 2 * (k))

/* A number that is put somewhere; width 0 ends a list. */
typedef struct Change {
        uint64_t pos;
        unsigned width;
        uint64_t value;
} Change;

/* Two clusters of data, all refcounts 16 bits wide and right. */
static inline void sound_image(Image *i)
{
        image_begin(i, 9, DISK, false);
        image_map(i, 0, AT_DATA | COPIED);
        image_map(i, 1, (AT_DATA + CS) | COPIED);
        memset(i->bytes + AT_DATA, 'a', CS);
        memset(i->bytes + AT_DATA + CS, 'b', CS);
        image_count(i, AT_BLOCK / CS, 4);
}

static inline void damage(Image *i, const Change *changes)
{
        for (size_t k = 0; k < CHANGES && changes[k].width; k++)
                image_put(i, changes[k].pos, changes[k].width, changes[k].value);
}

static inline Store *store_of(const Image *i)
{
        Store *s = NULL;
        assert_int_equal(mem_store_new(i->bytes, i->len, &s), 0);
        return s;
}

/* Takes the store on success. */
static inline int open_to_check(Store *s, bool writable, Cache *c, Node **ret)
{
        NodeOptions options = { .writable = writable, .for_check = true, .cache = c };
        return node_open(&format_qcow2, s, &options, NULL, ret, NULL);
}

typedef struct Said {
        char first[256]; /* the first finding */
        uint64_t count;
        uint64_t shortages; /* findings of fewer refcounts than references */
} Said;

static inline void said_take(void *arg, const char *text)
{
        Said *said = arg;
        said->shortages += strncmp(text, "ERROR cluster", strlen("ERROR cluster")) == 0;
        if (said->count++ == 0)
                snprintf(said->first, sizeof(said->first), "%s", text);
}

/* Checks what the store holds, which stays the caller's. */
static inline int check_store(Store *s, CheckRepair repair, CheckReport *ret, Said *said)
{
        _cleanup_cache_ Cache *c = NULL;
        Node *n = NULL;

        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &c), 0);
        int r = open_to_check(s, repair != CHECK_LOOK, c, &n);
        if (r < 0)
                return r;
        *said = (Said){ "" };
        *ret = (CheckReport){ .repair = repair, .tell = said_take, .arg = said };
        r = node_check(n, ret);
        n->store = NULL;
        node_close(n);
        return r;
}
