/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One lock for all: a piece takes a processor for some ten microseconds at least, choosing one a moment. A thread that
 * asks does not wait for help: it works through the pieces itself, and in the end waits for those that others have
 * begun.
 */
#include "block/crew.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

enum {
        CREW_MAX = 15,
        /* As of the threads that answer requests. */
        CREW_STACK_SIZE = 256 * 1024,
};

/* What one thread asks for, on its stack. Guarded by the crew's lock, but what is fixed. */
typedef struct CrewTask {
        CrewWork work; /* fixed */
        void *arg;     /* fixed */
        size_t count;  /* fixed */
        size_t next;   /* the first piece that nobody has begun */
        size_t helping;
        size_t failed_at;
        int error; /* of failed_at; 0: none has failed */
        pthread_cond_t let_go;
        struct CrewTask *other;
} CrewTask;

struct Crew {
        pthread_mutex_t lock;
        pthread_cond_t wanted;
        CrewTask *tasks;      /* those with pieces that nobody has begun; guarded by lock */
        unsigned idle, count; /* threads that wait, and all; guarded by lock */
        unsigned asking;      /* threads in crew_run; guarded by lock */
        bool started, ending; /* guarded by lock */
        pthread_t threads[CREW_MAX];
};

int crew_new(Crew **ret)
{
        Crew *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->wanted, NULL);
        *ret = c;
        return 0;
}

/* The functions down to crew_work_on want the lock. */

static void crew_unlist(Crew *c, CrewTask *t)
{
        CrewTask **link = &c->tasks;

        while (*link && *link != t)
                link = &(*link)->other;
        if (*link)
                *link = t->other;
}

/* Takes the next piece; nobody finds a task whose last piece has been taken. */
static bool crew_take_piece(Crew *c, CrewTask *t, size_t *ret)
{
        if (t->next == t->count)
                return false;
        *ret = t->next++;
        if (t->next == t->count)
                crew_unlist(c, t);
        return true;
}

static void crew_note(Crew *c, CrewTask *t, size_t index, int r)
{
        if (r >= 0 || (t->error < 0 && t->failed_at < index))
                return;
        t->error = r;
        t->failed_at = index;
        crew_unlist(c, t);
        t->next = t->count;
}

/* Lets go of the lock for each piece. */
static void crew_work_on(Crew *c, CrewTask *t)
{
        size_t index = 0;

        while (crew_take_piece(c, t, &index)) {
                pthread_mutex_unlock(&c->lock);
                int r = t->work(t->arg, index);
                pthread_mutex_lock(&c->lock);
                crew_note(c, t, index, r);
        }
}

static void *crew_thread(void *arg)
{
        Crew *c = arg;

        LOCKED(&c->lock)
        {
                while (!c->ending) {
                        CrewTask *t = c->tasks;
                        if (!t) {
                                c->idle++;
                                pthread_cond_wait(&c->wanted, &c->lock);
                                c->idle--;
                                continue;
                        }
                        t->helping++;
                        crew_work_on(c, t);
                        t->helping--;
                        if (t->helping == 0)
                                pthread_cond_signal(&t->let_go);
                }
        }
        return NULL;
}

static unsigned crew_wanted_count(void)
{
        cpu_set_t cpus;
        int count = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : CPU_COUNT(&cpus);

        return count > CREW_MAX ? CREW_MAX : (unsigned)count - 1;
}

/* Once. Who cannot be started does not help. Wants the lock. */
static void crew_start(Crew *c)
{
        pthread_attr_t attr;

        if (c->started)
                return;
        c->started = true;
        if (pthread_attr_init(&attr) != 0)
                return;
        if (pthread_attr_setstacksize(&attr, CREW_STACK_SIZE) == 0)
                for (unsigned wanted = crew_wanted_count(); c->count < wanted; c->count++)
                        if (pthread_create(&c->threads[c->count], &attr, crew_thread, c) != 0)
                                break;
        pthread_attr_destroy(&attr);
}

/* Where others ask as well they keep the processors busy by themselves. Wants the lock. */
static void crew_ask(Crew *c, CrewTask *t)
{
        crew_start(c);
        if (c->asking > c->count)
                return;
        t->other = c->tasks;
        c->tasks = t;
        /* The first piece is ours. */
        for (unsigned i = 0; i < c->idle && i + 1 < t->count; i++)
                pthread_cond_signal(&c->wanted);
}

int crew_run(Crew *c, size_t count, CrewWork work, void *arg)
{
        CrewTask t = { .work = work, .arg = arg, .count = count };

        pthread_cond_init(&t.let_go, NULL);
        LOCKED(&c->lock)
        {
                c->asking++;
                if (count > 1)
                        crew_ask(c, &t);
                crew_work_on(c, &t);
                while (t.helping > 0)
                        pthread_cond_wait(&t.let_go, &c->lock);
                c->asking--;
        }
        pthread_cond_destroy(&t.let_go);
        return t.error;
}

Crew *crew_free(Crew *c)
{
        if (!c)
                return NULL;
        LOCKED(&c->lock)
        {
                c->ending = true;
                pthread_cond_broadcast(&c->wanted);
        }
        for (unsigned i = 0; i < c->count; i++)
                pthread_join(c->threads[i], NULL);
        pthread_cond_destroy(&c->wanted);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return NULL;
}
