/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/crew.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        PIECES = 200,
        ASKERS = 6,
        ROUNDS = 300,
        LATE_USEC = 20000,
};

static Crew *new_crew(void)
{
        Crew *c = NULL;
        assert_int_equal(crew_new(&c), 0);
        return c;
}

static unsigned processors(void)
{
        cpu_set_t cpus;
        assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
        return (unsigned)CPU_COUNT(&cpus);
}

/* Sanitizers may have some of their own. */
static unsigned threads(void)
{
        unsigned count = 0;
        DIR *d = opendir("/proc/self/task");
        assert_non_null(d);
        while (readdir(d))
                count++;
        closedir(d);
        return count - 2;
}

/* Counts how often each piece was done. */
typedef struct Tally {
        atomic_uint done[PIECES];
        size_t fails_from; /* pieces from here on fail, with their number as errno; 0: none does */
        bool meet; /* the first two pieces wait for each other, and whoever helps is the later one */
        pthread_barrier_t met;
        pthread_t asker;
} Tally;

static int tally(void *arg, size_t index)
{
        Tally *t = arg;

        if (t->meet && index < 2) {
                pthread_barrier_wait(&t->met);
                if (!pthread_equal(pthread_self(), t->asker))
                        usleep(LATE_USEC);
        }
        atomic_fetch_add(&t->done[index], 1);
        return t->fails_from && index >= t->fails_from ? -(int)index : 0;
}

static bool all_done_once(Tally *t, size_t count)
{
        for (size_t i = 0; i < PIECES; i++)
                if (atomic_load(&t->done[i]) != (i < count ? 1 : 0))
                        return false;
        return true;
}

static void test_each_piece_once(void **state)
{
        static const size_t counts[] = { 0, 1, 2, 3, 17, PIECES };
        Crew *c = new_crew();

        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                Tally t = { .fails_from = 0 };
                assert_int_equal(crew_run(c, counts[i], tally, &t), 0);
                assert_true(all_done_once(&t, counts[i]));
        }
        assert_null(crew_free(c));
        assert_null(crew_free(NULL));
}

/* Nobody is there before help is wanted, nor when it is free again. */
static void test_threads_come_when_wanted(void **state)
{
        Tally t = { .fails_from = 0 };
        unsigned before = threads();
        Crew *c = new_crew();

        assert_int_equal(crew_run(c, 1, tally, &t), 0);
        assert_int_equal(threads(), before);
        assert_int_equal(crew_run(c, 0, tally, &t), 0);
        memset(&t, 0, sizeof(t));
        assert_int_equal(crew_run(c, PIECES, tally, &t), 0);
        assert_int_equal(threads(), before + (processors() > 16 ? 15 : processors() - 1));
        crew_free(c);
}

/* Two pieces that wait for each other are done by two threads, or for ever; and the one who asks waits for the other. */
static void test_others_help(void **state)
{
        Tally t = { .meet = true, .asker = pthread_self() };
        Crew *c = new_crew();

        if (processors() < 2) {
                crew_free(c);
                skip();
        }
        pthread_barrier_init(&t.met, NULL, 2);
        assert_int_equal(crew_run(c, PIECES, tally, &t), 0);
        assert_true(all_done_once(&t, PIECES));
        pthread_barrier_destroy(&t.met);
        crew_free(c);
}

/* The first that fails in the order of the pieces is the failure, and soon afterwards no piece is begun any more. */
static void test_a_failure_ends_it(void **state)
{
        Crew *c = new_crew();

        for (unsigned round = 0; round < ROUNDS; round++) {
                Tally t = { .fails_from = 1 + round % 7 };
                unsigned begun = 0;
                assert_int_equal(crew_run(c, PIECES, tally, &t), -(int)t.fails_from);
                for (size_t i = 0; i < PIECES; i++)
                        begun += atomic_load(&t.done[i]);
                assert_true(begun <= t.fails_from + processors());
        }
        crew_free(c);
}

typedef struct Asker {
        Crew *crew;
        pthread_t thread;
        bool wrong;
} Asker;

static void *asker_run(void *arg)
{
        Asker *a = arg;

        for (size_t round = 0; round < ROUNDS; round++) {
                Tally t = { .fails_from = round % 5 == 4 ? 3 : 0 };
                size_t count = round % 9 + 4;
                int r = crew_run(a->crew, count, tally, &t);
                if (t.fails_from ? r != -3 : r != 0 || !all_done_once(&t, count))
                        a->wrong = true;
        }
        return NULL;
}

static void test_many_ask(void **state)
{
        Asker askers[ASKERS];
        Crew *c = new_crew();

        for (size_t i = 0; i < ASKERS; i++) {
                askers[i] = (Asker){ .crew = c };
                assert_int_equal(pthread_create(&askers[i].thread, NULL, asker_run, &askers[i]), 0);
        }
        for (size_t i = 0; i < ASKERS; i++) {
                pthread_join(askers[i].thread, NULL);
                assert_false(askers[i].wrong);
        }
        crew_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_piece_once),
                cmocka_unit_test(test_threads_come_when_wanted),
                cmocka_unit_test(test_others_help),
                cmocka_unit_test(test_a_failure_ends_it),
                cmocka_unit_test(test_many_ask),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
