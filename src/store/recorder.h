/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stores that remember all that changed them, for tests only, and can show what a power failure would have left of
 * them: everything up to the last sync, and of what came later any part, torn between sectors.
 *
 * Several files can share one Recording, as the files of one image do: the power fails for all of them at once, while
 * a sync makes only its own file safe. The Recording belongs to the test and outlives the stores. Any thread while
 * recording; the recording_… and replayer_… functions want the other threads to have stopped, but for
 * recording_get_count.
 */
#pragma once

#include "store/store.h"

enum {
        RECORDER_SECTOR = 512, /* what a disk writes as a whole or not at all */
        RECORDER_FILES = 2,    /* that can share a recording */
};

typedef struct Recording Recording;
typedef struct Replayer Replayer;

/* Which of the unsynced changes reached the disk. */
enum {
        REPLAY_ALL = 0,
        REPLAY_NONE = 1,
        REPLAY_LAST = 2, /* the very last operation overtook all others */
        /* Every larger number is a choice of its own, sector by sector. */
};

/* Takes `inner` on success only. What it holds now is where every replay begins. */
int recorder_store_new(Store *inner, Recording **ret_recording, Store **ret);

/* The same for one more file of the same recording, which is numbered in the order of adding, from 1 on; ENOSPC beyond
 * RECORDER_FILES. */
int recorder_store_add(Recording *r, Store *inner, Store **ret);

/* How many changes and syncs there were. */
size_t recording_get_count(Recording *r);

/* How many of the operations from `from` to before `to` were syncs. */
size_t recording_count_syncs(Recording *r, size_t from, size_t to);

/* What the first file holds after a power failure when `count` operations had been done, as a new store in memory. */
int recording_replay(Recording *r, size_t count, uint64_t choice, Store **ret);

/* Accepts NULL; returns NULL. */
Recording *recording_free(Recording *r);

/* Replays at many places, one after the other, without beginning again each time. Outlived by the recording. */
int replayer_new(Recording *r, Replayer **ret);

/* Goes to where `count` operations had been done; never back. */
int replayer_advance(Replayer *p, size_t count);

/* What a file holds after a power failure there, as a new store in memory. */
int replayer_replay(Replayer *p, uint64_t choice, size_t file, Store **ret);

/* Accepts NULL; returns NULL. */
Replayer *replayer_free(Replayer *p);

static inline void recording_freep(Recording **r)
{
        *r = recording_free(*r);
}
#define _cleanup_recording_ __attribute__((cleanup(recording_freep)))

static inline void replayer_freep(Replayer **p)
{
        *p = replayer_free(*p);
}
#define _cleanup_replayer_ __attribute__((cleanup(replayer_freep)))
