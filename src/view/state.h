/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of the extended attribute user.rawview.state: one JSON object on one line, for `rawview list` and for
 * people with getfattr. Any thread; owns nothing.
 */
#pragma once

#include "block/cache.h"
#include "view/health.h"

/* In the place of a number. */
enum {
        STATE_LOOP_NONE = -1,
        STATE_LOOP_LOST = -2, /* there was one, and nobody has let go of it */
};

/* One file of the image. */
typedef struct StateDigest {
        char *file; /* as it was named, which may have been done by an image */
        char sha256[65];
} StateDigest;

typedef struct StateFacts {
        const char *image, *format;
        const char *overlay;        /* NULL: none */
        const char *unit;           /* "": none */
        unsigned layer;             /* of the chain; 0: the image itself */
        bool layer_alone;           /* without what lies below */
        const StateDigest *digests; /* NULL: nobody has asked for them */
        size_t digest_count;
        int64_t pid;
        bool writable;
        bool passthrough;  /* the kernel reads and writes past us: of that nothing is counted */
        uint32_t barriers; /* base/barrier.h */
        int loop;          /* the number of its own loop device, or one of the above */
        uint64_t size;
        uint32_t sector_size; /* as the image or a person states it; 0: nobody does */
        bool is_window;       /* of the disk, from `start` on */
        uint64_t start;
        time_t since;
        uint64_t readers, writers; /* open files */
        HealthCounts counts;
        CacheStat cache;
} StateFacts;

/* New text in *ret; free() it. */
int state_format(const StateFacts *facts, char **ret);
