/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One range of guest bytes, one writer at a time. Two ranges that overlap exclude each other; others do not.
 * The entry lies on the stack of the thread that holds it.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

typedef struct RangeLockEntry {
        uint64_t off, len;
        struct RangeLockEntry *next;
} RangeLockEntry;

typedef struct RangeLock {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        RangeLockEntry *held; /* guarded by lock */
} RangeLock;

int range_lock_init(RangeLock *l);
void range_lock_done(RangeLock *l);

/* Waits until no held range overlaps [off, off + len), then holds it. Never fails. */
void range_lock_take(RangeLock *l, RangeLockEntry *entry, uint64_t off, uint64_t len);
void range_lock_give(RangeLock *l, RangeLockEntry *entry);
