/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ownership that the compiler ends: every owning local carries a _cleanup_…_ attribute in its declaration.
 *
 *     _cleanup_free_ char *name = NULL;
 *     _cleanup_close_ int fd = -1;
 *     LOCKED(&state->lock) { … return …; … }     the mutex is released on every way out
 *     return TAKE(name);                         the pointer leaves, the local is NULL now
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

static inline void cleanup_free(void *p)
{
        free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
        if (*fd >= 0) {
                int saved = errno;
                close(*fd);
                errno = saved;
        }
}

static inline void cleanup_stream(FILE **f)
{
        if (*f)
                fclose(*f);
}

static inline void cleanup_dir(DIR **d)
{
        if (*d)
                closedir(*d);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_stream_ _cleanup_(cleanup_stream)
#define _cleanup_dir_ _cleanup_(cleanup_dir)

/* Hands a pointer over: gives its value and sets the variable to NULL. */
#define TAKE(p)                           \
        ({                                \
                __auto_type taken_ = (p); \
                (p) = NULL;               \
                taken_;                   \
        })

/* The same for a descriptor, whose "nothing" is -1. */
static inline int fd_take(int *fd)
{
        int taken = *fd;
        *fd = -1;
        return taken;
}

typedef struct Locked {
        pthread_mutex_t *mutex;
        bool ran;
} Locked;

static inline Locked locked_begin(pthread_mutex_t *mutex)
{
        pthread_mutex_lock(mutex);
        return (Locked){ .mutex = mutex };
}

static inline void locked_end(Locked *l)
{
        pthread_mutex_unlock(l->mutex);
}

#define LOCKED(m)                                                                  \
        for (_cleanup_(locked_end) Locked locked_ = locked_begin(m); !locked_.ran; \
             locked_.ran = true)
