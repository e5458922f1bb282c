/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/umount-wait.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Stands for a daemon: does something every tenth of a second `steps` times, and then nothing, or it ends. Nothing is done by another
 * program, since a sanitizer has a thread of its own that wakes up again and again. */
static pid_t start(int steps, bool ends)
{
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        for (int i = 0; i < steps; i++)
                poll(NULL, 0, 100);
        if (!ends)
                execlp("sleep", "sleep", "infinity", (char *)NULL);
        _exit(0);
}

static int wait_for(pid_t pid, int patience_ms, Err *err)
{
        _cleanup_close_ int daemon = pidfd_open(pid, 0);
        UmountWait w = {
                .daemon = daemon, .pid = pid, .image = "/vm/disk", .patience_ms = patience_ms
        };

        int r = umount_wait(&w, err);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return r;
}

/* Three times as long as patience lasts. */
static void test_who_gets_on_is_waited_for(void **state)
{
        Err err = { "" };

        assert_int_equal(wait_for(start(30, true), 1000, &err), 0);
        assert_string_equal(err.text, "");
}

static void test_who_does_nothing_is_not(void **state)
{
        Err err = { "" };

        assert_int_equal(wait_for(start(0, false), 1000, &err), -ETIMEDOUT);
        assert_non_null(strstr(err.text, "its daemon (process "));
        assert_non_null(strstr(err.text, "has done nothing for 1 seconds"));
        assert_non_null(strstr(err.text, "waits for something that does not come"));
}

static void test_who_was_stopped(void **state)
{
        Err err = { "" };
        pid_t pid = start(1000, true);

        assert_int_equal(kill(pid, SIGSTOP), 0);
        assert_int_equal(wait_for(pid, 1000, &err), -ETIMEDOUT);
        assert_non_null(strstr(err.text, "was stopped by a signal"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_gets_on_is_waited_for),
                cmocka_unit_test(test_who_does_nothing_is_not),
                cmocka_unit_test(test_who_was_stopped),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
