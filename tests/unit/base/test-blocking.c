/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/blocking.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void count(void *arg)
{
        (*(unsigned *)arg)++;
}

static void *of_another_thread(void *arg)
{
        blocking_begin();
        *(bool *)arg = blocking_is_watched();
        return NULL;
}

static void test_each_thread_has_its_own_watcher(void **state)
{
        unsigned times = 0;
        bool watched = true;
        pthread_t t;

        assert_false(blocking_is_watched());
        blocking_begin();
        blocking_watch(count, &times);
        assert_true(blocking_is_watched());
        blocking_begin();
        assert_int_equal(times, 1);
        assert_int_equal(pthread_create(&t, NULL, of_another_thread, &watched), 0);
        pthread_join(t, NULL);
        assert_false(watched);
        assert_int_equal(times, 1);
        blocking_watch(NULL, NULL);
        blocking_begin();
        assert_int_equal(times, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_thread_has_its_own_watcher),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
