/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/pending.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A child that has blocked SIGHUP, and takes it when it is sent SIGUSR1. */
static pid_t child_start(void)
{
        sigset_t set, before, none;
        int ready[2];
        char byte;

        assert_int_equal(pipe(ready), 0);
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, &before);
        pid_t pid = fork();
        if (pid == 0) {
                int signo = 0;
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                sigemptyset(&none);
                sigaddset(&none, SIGUSR1);
                (void)!write(ready[1], "x", 1);
                sigwait(&none, &signo);
                sigdelset(&set, SIGUSR1);
                sigwait(&set, &signo);
                pause();
                _exit(0);
        }
        sigprocmask(SIG_SETMASK, &before, NULL);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        close(ready[1]);
        return pid;
}

static void child_end(pid_t pid)
{
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_a_signal_that_waits_is_waited_for(void **state)
{
        Err err = { "" };
        pid_t pid = child_start();

        assert_int_equal(pending_wait(pid, SIGHUP, 1000, &err), 0);
        kill(pid, SIGHUP);
        assert_int_equal(pending_wait(pid, SIGTERM, 1000, &err), 0);
        assert_int_equal(pending_wait(pid, SIGHUP, 30, &err), -ETIMEDOUT);
        assert_non_null(strstr(err.text, "does not take signal 1"));
        kill(pid, SIGUSR1);
        assert_int_equal(pending_wait(pid, SIGHUP, 5000, &err), 0);
        child_end(pid);
}

/* Sent to one thread, by its number. */
static void test_a_thread_is_looked_at_too(void **state)
{
        pid_t pid = child_start();

        assert_int_equal(syscall(SYS_tgkill, pid, pid, SIGHUP), 0);
        assert_int_equal(pending_wait(pid, SIGHUP, 30, NULL), -ETIMEDOUT);
        child_end(pid);
}

static void test_a_process_that_is_gone(void **state)
{
        Err err = { "" };
        pid_t pid = child_start();

        child_end(pid);
        assert_int_equal(pending_wait(pid, SIGHUP, 1000, &err), -ESRCH);
        assert_non_null(strstr(err.text, "No such process"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_signal_that_waits_is_waited_for),
                cmocka_unit_test(test_a_thread_is_looked_at_too),
                cmocka_unit_test(test_a_process_that_is_gone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
