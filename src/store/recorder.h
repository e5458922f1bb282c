/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store that remembers all that changed it, for tests only, and can show what a power failure would have left of
 * it: everything up to the last sync, and of what came later any part, torn between sectors.
 *
 * The Recording belongs to the test and outlives the store. Any thread while recording; the recording_… functions
 * want the other threads to have stopped.
 */
#pragma once

#include "store/store.h"

enum {
        RECORDER_SECTOR = 512, /* what a disk writes as a whole or not at all */
};

typedef struct Recording Recording;

/* Which of the unsynced changes reached the disk. */
enum {
        REPLAY_ALL = 0,
        REPLAY_NONE = 1,
        /* Every larger number is a choice of its own, sector by sector. */
};

/* Takes `inner` on success only. What it holds now is where every replay begins. */
int recorder_store_new(Store *inner, Recording **ret_recording, Store **ret);

/* How many changes and syncs there were. */
size_t recording_get_count(Recording *r);

/* The contents after a power failure when `count` operations had been done, as a new store in memory. */
int recording_replay(Recording *r, size_t count, uint64_t choice, Store **ret);

/* Accepts NULL; returns NULL. */
Recording *recording_free(Recording *r);
