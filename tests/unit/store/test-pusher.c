/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "store/pusher.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../fd-count.h"
#include "dirty-pages.h"

enum {
        PAGE = 4096,
        MIB = 1024 * 1024,
        THREADS = 4,
        ROUNDS = 64,
};

/* A file without a name, with some unwritten pages in its cache. */
static int open_dirty_file(size_t len)
{
        char name[] = "/var/tmp/rawview-test-pusher-XXXXXX";
        int fd = mkostemp(name, O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(unlink(name), 0);

        _cleanup_free_ char *buf = malloc(len);
        assert_non_null(buf);
        memset(buf, 'x', len);
        assert_int_equal(pwrite(fd, buf, len, 0), len);
        return fd;
}

static Pusher *new_pusher(int fd)
{
        Pusher *p = NULL;
        assert_int_equal(pusher_new(fd, &p), 0);
        return p;
}

static void test_sends_what_it_is_told(void **state)
{
        _cleanup_close_ int fd = open_dirty_file(4 * MIB);
        if (dirty_pages(fd, 0, 4 * MIB) == 0) {
                print_message("this kernel or file system does not tell what is dirty\n");
                return;
        }
        Pusher *p = new_pusher(fd);
        pusher_push(p, MIB, MIB);
        assert_true(becomes_clean(fd, MIB, MIB));
        pusher_push(p, 0, 4 * MIB);
        assert_true(becomes_clean(fd, 0, 4 * MIB));
        pusher_free(p);
}

static void test_nothing_is_nothing(void **state)
{
        _cleanup_close_ int fd = open_dirty_file(PAGE);
        Pusher *p = new_pusher(fd);

        pusher_push(p, 0, 0);
        p = pusher_free(p);
        assert_null(p);
        assert_null(pusher_free(NULL));
}

static void test_what_cannot_be_sent_harms_nobody(void **state)
{
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        Pusher *p = new_pusher(ends[1]);

        for (int i = 0; i < ROUNDS; i++)
                pusher_push(p, UINT64_MAX / 2, PAGE);
        pusher_free(p);
        close(ends[0]);
        close(ends[1]);
}

static void *push_pages(void *arg)
{
        for (uint64_t i = 0; i < ROUNDS; i++)
                pusher_push(arg, i * PAGE, PAGE);
        return NULL;
}

static void test_many_threads_push(void **state)
{
        _cleanup_close_ int fd = open_dirty_file((size_t)ROUNDS * PAGE);
        Pusher *p = new_pusher(fd);
        pthread_t threads[THREADS];

        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, push_pages, p), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_true(becomes_clean(fd, 0, (uint64_t)ROUNDS * PAGE));
        pusher_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sends_what_it_is_told),
                cmocka_unit_test(test_nothing_is_nothing),
                cmocka_unit_test(test_what_cannot_be_sent_harms_nobody),
                cmocka_unit_test(test_many_threads_push),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
