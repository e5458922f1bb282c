/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/terminal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In a session of its own: without a terminal, with one, and when that has gone away. */
static int child_run(void)
{
        signal(SIGHUP, SIG_IGN);
        if (setsid() < 0 || terminal_is_there())
                return 1;
        int master = posix_openpt(O_RDWR | O_NOCTTY);
        if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
                return 2;
        int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
        if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
                return 3;
        if (!terminal_is_there())
                return 4;
        close(master);
        return terminal_is_there() ? 5 : 0;
}

static void test_a_terminal_comes_and_goes(void **state)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(child_run());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_terminal_comes_and_goes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
