/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/attempt.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

typedef struct Seen {
        unsigned fd_count;
        struct stat folder;
} Seen;

static int attempt_look_around(const void *arg, int folder, void *result)
{
        Seen *seen = result;
        DIR *d = opendir("/proc/self/fd");
        if (!d)
                return -errno;
        while (readdir(d))
                seen->fd_count++;
        closedir(d);
        /* ".", ".." and the folder that was being read do not count. */
        seen->fd_count -= 3;
        return fstat(folder, &seen->folder) < 0 ? -errno : 0;
}

static int attempt_answer(const void *arg, int folder, void *result)
{
        return *(const int *)arg;
}

static _Noreturn int attempt_hang(const void *arg, int folder, void *result)
{
        for (;;)
                pause();
}

static int attempt_crash(const void *arg, int folder, void *result)
{
        raise(SIGKILL);
        return 0;
}

static void test_keeps_stdio_and_the_folder(void **state)
{
        _cleanup_close_ int folder = open("/tmp", O_PATH | O_CLOEXEC);
        _cleanup_close_ int stray = open("/dev/null", O_RDONLY);
        assert_true(stray >= 0);
        struct stat st;
        Attempt a;
        Seen seen;

        assert_int_equal(attempt_start(attempt_look_around, NULL, folder, sizeof(seen), &a), 0);
        assert_int_equal(attempt_finish(&a, 5000, &seen), 0);
        assert_int_equal(seen.fd_count, 5);
        assert_int_equal(fstat(folder, &st), 0);
        assert_int_equal(seen.folder.st_ino, st.st_ino);
}

static void test_without_a_folder(void **state)
{
        Attempt a;
        Seen seen;

        assert_int_equal(attempt_start(attempt_look_around, NULL, -1, sizeof(seen), &a), 0);
        assert_int_equal(attempt_finish(&a, 5000, &seen), -EBADF);
}

static void test_answer_comes_back(void **state)
{
        const int answers[] = { 0, 7, -ENOTCONN };

        for (size_t i = 0; i < 3; i++) {
                Attempt a;
                assert_int_equal(attempt_start(attempt_answer, &answers[i], -1, 0, &a), 0);
                assert_int_equal(attempt_finish(&a, 5000, NULL), answers[i]);
        }
}

static void test_who_hangs_is_given_up(void **state)
{
        Attempt a;

        assert_int_equal(attempt_start(attempt_hang, NULL, -1, 0, &a), 0);
        pid_t pid = a.pid;
        assert_int_equal(attempt_finish(&a, 50, NULL), -ETIMEDOUT);
        assert_int_equal(a.pid, -1);
        /* It was killed; it may or may not have been reaped already. */
        for (int i = 0; i < 500 && kill(pid, 0) == 0; i++) {
                waitpid(pid, NULL, WNOHANG);
                usleep(10000);
        }
        assert_int_equal(kill(pid, 0), -1);
}

static void test_many_are_given_up_at_once(void **state)
{
        enum { MANY = 20 };
        Attempt all[MANY + 1] = { { .pid = -1, .pidfd = -1, .result = -1 } };
        pid_t pids[MANY];

        for (unsigned i = 0; i < MANY; i++) {
                assert_int_equal(attempt_start(attempt_hang, NULL, -1, 0, &all[i + 1]), 0);
                pids[i] = all[i + 1].pid;
        }
        attempt_drop_all(all, MANY + 1);
        assert_int_equal(all[0].pid, -1);
        for (unsigned i = 0; i < MANY; i++) {
                const Attempt *a = &all[i + 1];
                assert_true(a->pid == -1 || a->pid == pids[i]);
                assert_int_equal(a->pidfd, -1);
                if (a->pid > 0)
                        assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
                assert_int_equal(kill(pids[i], 0), -1);
        }
}

static void test_who_crashes_says_so(void **state)
{
        Attempt a;

        assert_int_equal(attempt_start(attempt_crash, NULL, -1, 0, &a), 0);
        assert_int_equal(attempt_finish(&a, 5000, NULL), -EPROTO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_keeps_stdio_and_the_folder),
                cmocka_unit_test(test_without_a_folder),
                cmocka_unit_test(test_answer_comes_back),
                cmocka_unit_test(test_who_hangs_is_given_up),
                cmocka_unit_test(test_many_are_given_up_at_once),
                cmocka_unit_test(test_who_crashes_says_so),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
