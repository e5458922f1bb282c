/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who of many threads reads the next request. A few at a time, so that it is those who have just been at work, whose
 * memory is at hand: the kernel wakes the one that has waited longest. The others are spare. Whoever is about to wait for a
 * disk passes its turn on to a spare thread when nobody reads, so that one request is never behind the disk time of
 * others as long as there are threads.
 *
 * Any thread, but init and done.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct TurnsSpare TurnsSpare;

typedef struct Turns {
        unsigned most;       /* who read at one time; fixed */
        atomic_uint readers; /* who have a turn now */
        pthread_mutex_t lock;
        TurnsSpare *spare; /* guarded by lock; who came last first */
        bool over;         /* guarded by lock */
} Turns;

typedef enum TurnsResult {
        TURNS_OVER,
        TURNS_TAKEN,
        TURNS_TIMEOUT,
} TurnsResult;

int turns_init(Turns *t, unsigned most);
void turns_done(Turns *t);

/* Waits for a turn, at most `limit_ms` as a spare thread; -1: for ever. */
TurnsResult turns_take(Turns *t, int limit_ms);

/* Of one that was taken: reading is done. */
void turns_give(Turns *t);

/* Gives a spare thread a turn unless somebody reads. */
void turns_pass(Turns *t);

/* From now on there is no turn to wait for. */
void turns_end(Turns *t);
