/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `readers` changes without the lock, but a thread becomes spare only after another look at it under the lock, and who
 * passes a turn on looks for spare threads under the lock after it has given up its own: one of the two sees the other.
 */
#include "fuse/turns.h"

#include "base/cleanup.h"

#include <errno.h>
#include <time.h>

struct TurnsSpare {
        pthread_cond_t called;
        bool has_turn; /* guarded by the lock of the turns */
        TurnsSpare *next;
};

int turns_init(Turns *t, unsigned most)
{
        *t = (Turns){ .most = most };
        return -pthread_mutex_init(&t->lock, NULL);
}

void turns_done(Turns *t)
{
        pthread_mutex_destroy(&t->lock);
}

static bool turns_try(Turns *t)
{
        unsigned readers = atomic_load(&t->readers);

        while (readers < t->most)
                if (atomic_compare_exchange_weak(&t->readers, &readers, readers + 1))
                        return true;
        return false;
}

static struct timespec turns_deadline(int limit_ms)
{
        struct timespec at;

        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec += limit_ms / 1000;
        at.tv_nsec += limit_ms % 1000 * 1000000L;
        if (at.tv_nsec >= 1000000000L) {
                at.tv_sec++;
                at.tv_nsec -= 1000000000L;
        }
        return at;
}

/* Wants the lock. */
static void turns_forget(Turns *t, const TurnsSpare *spare)
{
        TurnsSpare **link = &t->spare;

        while (*link != spare)
                link = &(*link)->next;
        *link = spare->next;
}

/* Wants the lock, and lets go of it while it waits. */
static TurnsResult turns_wait(Turns *t, TurnsSpare *spare, int limit_ms)
{
        struct timespec deadline = limit_ms < 0 ? (struct timespec){ 0 } : turns_deadline(limit_ms);
        int r = 0;

        spare->next = t->spare;
        t->spare = spare;
        while (!spare->has_turn && !t->over && r != ETIMEDOUT)
                r = limit_ms < 0 ? pthread_cond_wait(&spare->called, &t->lock)
                                 : pthread_cond_timedwait(&spare->called, &t->lock, &deadline);
        if (spare->has_turn)
                return TURNS_TAKEN;
        turns_forget(t, spare);
        return t->over ? TURNS_OVER : TURNS_TIMEOUT;
}

static TurnsResult turns_take_spare(Turns *t, TurnsSpare *spare, int limit_ms)
{
        LOCKED(&t->lock)
        {
                if (t->over)
                        return TURNS_OVER;
                if (turns_try(t))
                        return TURNS_TAKEN;
                return turns_wait(t, spare, limit_ms);
        }
        return TURNS_OVER;
}

TurnsResult turns_take(Turns *t, int limit_ms)
{
        TurnsSpare spare = { 0 };
        pthread_condattr_t attr;

        if (turns_try(t))
                return TURNS_TAKEN;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&spare.called, &attr);
        pthread_condattr_destroy(&attr);
        TurnsResult r = turns_take_spare(t, &spare, limit_ms);
        pthread_cond_destroy(&spare.called);
        return r;
}

void turns_give(Turns *t)
{
        atomic_fetch_sub(&t->readers, 1);
}

void turns_pass(Turns *t)
{
        if (atomic_load(&t->readers) > 0)
                return;
        LOCKED(&t->lock)
        {
                TurnsSpare *spare = t->spare;
                unsigned none = 0;
                /* Who comes just now takes its turn without the lock. */
                if (spare && atomic_compare_exchange_strong(&t->readers, &none, 1)) {
                        t->spare = spare->next;
                        spare->has_turn = true;
                        pthread_cond_signal(&spare->called);
                }
        }
}

void turns_end(Turns *t)
{
        LOCKED(&t->lock)
        {
                t->over = true;
                for (TurnsSpare *s = t->spare; s; s = s->next)
                        pthread_cond_signal(&s->called);
        }
}
