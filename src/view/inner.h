/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a View is made of, for the files of src/view alone: view.c makes and opens it, contents.c moves bytes, attributes.c
 * has what is said of it. Threads and locks: view.h.
 */
#pragma once

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/node.h"
#include "view/view.h"

#include <pthread.h>

struct View {
        /* Fixed after view_new. */
        Node *node;
        bool writable, growable, allow_other, passthrough;
        uint64_t start, len; /* len 0: to the end of the disk */
        uint32_t block_size;
        char *image, *unit;
        char *overlay; /* NULL: none */
        unsigned layer;
        bool layer_alone;
        const StateDigest *digests; /* borrowed */
        size_t digest_count;
        int64_t pid;
        uint32_t barriers;
        time_t since;

        _Atomic int loop; /* as in state.h */
        Health health;
        Use own_use, *use; /* that of a sibling, or the own */

        /* Shared while the end of the view is relied on, exclusive while it moves. */
        pthread_rwlock_t size_lock;

        pthread_mutex_t lock;
        mode_t mode;                         /* guarded by lock */
        uid_t uid;                           /* guarded by lock */
        gid_t gid;                           /* guarded by lock */
        struct timespec atime, mtime, ctime; /* guarded by lock */
        struct timespec file_mtime; /* of the file, when it was last looked at; guarded by lock */
};

static inline void size_lock_give(pthread_rwlock_t **l)
{
        pthread_rwlock_unlock(*l);
}
#define _cleanup_size_lock_ __attribute__((unused)) _cleanup_(size_lock_give)

static inline pthread_rwlock_t *size_lock_take_shared(View *v)
{
        pthread_rwlock_rdlock(&v->size_lock);
        return &v->size_lock;
}

static inline pthread_rwlock_t *size_lock_take_exclusive(View *v)
{
        pthread_rwlock_wrlock(&v->size_lock);
        return &v->size_lock;
}

/* It shows less than the whole disk. */
static inline bool view_is_window(const View *v)
{
        return v->start > 0 || v->len > 0;
}

/* size_lock is held. */
uint64_t view_size_locked(View *v);

struct timespec view_now(void);

/* Contents have changed: as for any file, the times move and set-id bits go. */
void view_touch(View *v);

/* From what the image's layers say to what a client of a file expects. What is an answer and no fault (cannot do
 * that here) is not counted. */
int view_answer(View *v, HealthOp op, uint64_t off, uint64_t len, int r);

/* Catches up with what the kernel has written past us: size, times, what there is to flush. The times are those of the file
 * once it was written to; before that they may be others, which somebody has set. No lock is held. */
int view_follow(View *v);
