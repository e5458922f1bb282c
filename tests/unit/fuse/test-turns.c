/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuse/turns.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
        SPARES = 6,
};

typedef struct Spares {
        Turns turns;
        pthread_t threads[SPARES];
        atomic_uint taken, over;
} Spares;

/* One turn, and then for ever. */
static void *take_one(void *arg)
{
        Spares *s = arg;

        switch (turns_take(&s->turns, -1)) {
        case TURNS_TAKEN:
                atomic_fetch_add(&s->taken, 1);
                break;
        case TURNS_OVER:
                atomic_fetch_add(&s->over, 1);
                break;
        case TURNS_TIMEOUT:
                break;
        }
        return NULL;
}

static void wait_until(atomic_uint *count, unsigned wanted)
{
        while (atomic_load(count) < wanted)
                poll(NULL, 0, 1);
        assert_int_equal(atomic_load(count), wanted);
}

static unsigned count_spare(Turns *t)
{
        unsigned count = 0;

        pthread_mutex_lock(&t->lock);
        count = t->spare != NULL;
        pthread_mutex_unlock(&t->lock);
        return count;
}

static void test_so_many_have_a_turn(void **state)
{
        Turns t;

        assert_int_equal(turns_init(&t, 2), 0);
        assert_int_equal(turns_take(&t, -1), TURNS_TAKEN);
        assert_int_equal(turns_take(&t, -1), TURNS_TAKEN);
        assert_int_equal(turns_take(&t, 1), TURNS_TIMEOUT);
        assert_int_equal(count_spare(&t), 0);
        turns_give(&t);
        assert_int_equal(turns_take(&t, 1), TURNS_TAKEN);
        assert_int_equal(turns_take(&t, 0), TURNS_TIMEOUT);
        turns_done(&t);
}

static void test_a_turn_is_passed_on_when_nobody_reads(void **state)
{
        Spares s = { 0 };
        unsigned waited = 0;

        assert_int_equal(turns_init(&s.turns, 1), 0);
        assert_int_equal(turns_take(&s.turns, -1), TURNS_TAKEN);
        for (size_t i = 0; i < SPARES; i++)
                assert_int_equal(pthread_create(&s.threads[i], NULL, take_one, &s), 0);
        while (count_spare(&s.turns) == 0)
                poll(NULL, 0, 1);

        /* Somebody reads: we do. */
        turns_pass(&s.turns);
        assert_int_equal(atomic_load(&s.taken), 0);
        /* A request has come, and we are about to wait: one of them, not all, and no second one while it reads. */
        turns_give(&s.turns);
        turns_pass(&s.turns);
        wait_until(&s.taken, 1);
        turns_pass(&s.turns);
        for (waited = 0; waited < 20; waited++)
                poll(NULL, 0, 1);
        assert_int_equal(atomic_load(&s.taken), 1);
        for (unsigned i = 2; i <= SPARES; i++) {
                turns_give(&s.turns);
                /* It may still be on its way. */
                while (atomic_load(&s.taken) < i) {
                        turns_pass(&s.turns);
                        poll(NULL, 0, 1);
                }
        }
        for (size_t i = 0; i < SPARES; i++)
                pthread_join(s.threads[i], NULL);
        assert_int_equal(atomic_load(&s.over), 0);
        turns_done(&s.turns);
}

static void test_the_end(void **state)
{
        Spares s = { 0 };

        assert_int_equal(turns_init(&s.turns, 1), 0);
        assert_int_equal(turns_take(&s.turns, -1), TURNS_TAKEN);
        for (size_t i = 0; i < SPARES; i++)
                assert_int_equal(pthread_create(&s.threads[i], NULL, take_one, &s), 0);
        turns_end(&s.turns);
        for (size_t i = 0; i < SPARES; i++)
                pthread_join(s.threads[i], NULL);
        assert_int_equal(atomic_load(&s.over), SPARES);
        assert_int_equal(turns_take(&s.turns, -1), TURNS_OVER);
        turns_done(&s.turns);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_so_many_have_a_turn),
                cmocka_unit_test(test_a_turn_is_passed_on_when_nobody_reads),
                cmocka_unit_test(test_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
