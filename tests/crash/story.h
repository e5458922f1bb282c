/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A story: what random requests did to a disk, told so that one can say afterwards what each sector, and the size, may
 * be when the power fails at any place of the recording. What counts is the last flush that had returned by then, and
 * every request that had begun.
 *
 * With several threads each has sectors of its own, so that what happens to one sector has an order.
 */
#pragma once

#include "base/err.h"
#include "block/node.h"
#include "disk.h"
#include "store/recorder.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        STORY_SECTOR = RECORDER_SECTOR,
        STORY_THREADS = 4,
};

/* For story_check: all is done, and nothing has failed. */
#define STORY_END SIZE_MAX

typedef enum DeedKind {
        DEED_WRITE,
        DEED_ZERO,
        DEED_DISCARD,
        DEED_RESIZE, /* what the disk gains or loses becomes zero */
        DEED_FLUSH,
} DeedKind;

/* One request. Numbers of the recording say what was on its way to the disk, ticks what came before what. */
typedef struct Deed {
        DeedKind kind;
        uint64_t first, count; /* in sectors */
        uint64_t size;         /* DEED_RESIZE: the new one */
        size_t began, ended;
        unsigned began_tick, ended_tick;
} Deed;

/* What random deeds look like. */
typedef struct Plot {
        uint32_t seed;
        size_t deed_count;   /* of all threads together */
        size_t thread_count; /* 1: no threads at all */
        uint64_t cluster;    /* bytes; what lengths and places are chosen around */
        uint64_t max_size;   /* the largest size to grow to; 0: no resizing */
} Plot;

typedef struct Story {
        Plot plot;
        Recording *recording; /* owned */
        uint8_t *initial;     /* owned: the disk as it was */
        uint64_t initial_size;
        uint64_t sectors; /* as many as the disk ever had */
        Deed *deeds;      /* owned: those of one thread in a row, flushers last */
        size_t deed_count;
        uint32_t *index; /* owned: for each sector its deeds, between … */
        uint32_t *start; /* owned: … these */
        atomic_uint clock;
        atomic_int failure; /* of the first request that failed */
} Story;

/* Opens a copy of the disk and does what the plot wants. */
int story_tell(Story *story, const Disk *disk, const Plot *plot, Err *err);
void story_done(Story *story);

/* May a disk of `size` bytes that shows `bytes` be left by a power failure when `count` operations were done?
 * STORY_END: is it what the story has made of it? */
int story_check(const Story *story, const uint8_t *bytes, uint64_t size, size_t count, Err *err);

/* What a write that is known by `tag` puts into that sector. */
void story_fill_sector(uint8_t *sector, uint32_t tag, uint64_t number);

/* The next number, less than `below`. */
uint32_t random_below(uint32_t *seed, uint64_t below);
