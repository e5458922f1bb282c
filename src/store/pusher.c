/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/pusher.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
        PUSHER_STACK_SIZE = 256 * 1024,
};

struct Pusher {
        int fd; /* fixed */
        pthread_t thread;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        /* Guarded by lock. What waits to be sent; nothing when both are equal. Ranges that come while others wait are
         * taken together: what lies between them is sent earlier than it had to be. */
        uint64_t start, end;
        bool stopping;
};

/* Takes over what waits, if need be after waiting for something to wait; false: it is time to stop. */
static bool pusher_next(Pusher *p, uint64_t *ret_start, uint64_t *ret_end)
{
        LOCKED(&p->lock)
        {
                while (p->start == p->end && !p->stopping)
                        pthread_cond_wait(&p->changed, &p->lock);
                if (p->stopping)
                        return false;
                *ret_start = p->start;
                *ret_end = p->end;
                p->start = p->end = 0;
        }
        return true;
}

static void *pusher_thread(void *arg)
{
        Pusher *p = arg;
        uint64_t start = 0, end = 0;

        while (pusher_next(p, &start, &end)) {
                int r = sync_file_range(p->fd, (off_t)start, (off_t)(end - start),
                                        SYNC_FILE_RANGE_WRITE);
                (void)r;
        }
        return NULL;
}

static int pusher_start(Pusher *p)
{
        pthread_attr_t attr;

        int r = -pthread_attr_init(&attr);
        if (r < 0)
                return r;
        r = -pthread_attr_setstacksize(&attr, PUSHER_STACK_SIZE);
        if (r >= 0)
                r = -pthread_create(&p->thread, &attr, pusher_thread, p);
        pthread_attr_destroy(&attr);
        return r;
}

int pusher_new(int fd, Pusher **ret)
{
        _cleanup_free_ Pusher *p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;

        p->fd = fd;
        int r = -pthread_mutex_init(&p->lock, NULL);
        if (r < 0)
                return r;
        r = -pthread_cond_init(&p->changed, NULL);
        if (r >= 0) {
                r = pusher_start(p);
                if (r < 0)
                        pthread_cond_destroy(&p->changed);
        }
        if (r < 0) {
                pthread_mutex_destroy(&p->lock);
                return r;
        }
        *ret = TAKE(p);
        return 0;
}

void pusher_push(Pusher *p, uint64_t pos, uint64_t len)
{
        if (len == 0)
                return;
        LOCKED(&p->lock)
        {
                bool waits = p->start != p->end;
                p->start = waits ? u64_min(p->start, pos) : pos;
                p->end = waits ? u64_max(p->end, pos + len) : pos + len;
                pthread_cond_signal(&p->changed);
        }
}

Pusher *pusher_free(Pusher *p)
{
        if (!p)
                return NULL;
        LOCKED(&p->lock)
        {
                p->stopping = true;
                pthread_cond_signal(&p->changed);
        }
        pthread_join(p->thread, NULL);
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
}
