/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that the filter must not let through, tried from behind it. */
#include "escapes.h"
#include "sandbox/build.h"
#include "sandbox/filter.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        NOT_IN = 250,
};

/* The wait status of a child that tries it. */
static int try(const Escape *e, bool filtered, const char *secret)
{
        EscapeTargets targets = { .other = getpid(), .image = 0, .secret = secret };
        int status = -1;

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
                if (filtered && filter_enter(NULL) < 0)
                        _exit(NOT_IN);
                _exit(e->act(&targets));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static bool is_let_through(const Escape *e)
{
        for (size_t i = 0; i < sandbox_build.call_count; i++)
                if (sandbox_build.calls[i] == e->call)
                        return true;
        return false;
}

static void test_refused(void **state)
{
        for (size_t i = 0; i < escape_count; i++) {
                const Escape *e = &escapes[i];
                if (is_let_through(e))
                        continue;
                int status = try(e, true, "/nowhere");
                bool as_expected =
                        e->errno_instead
                                ? WIFEXITED(status) && WEXITSTATUS(status) == e->errno_instead
                                : WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
                if (!as_expected)
                        fail_msg("%s: wait status %#x", e->name, status);
        }
}

/* Without the filter none of these acts ends its process. */
static void test_free_without(void **state)
{
        char secret[] = "/tmp/rawview-secret.XXXXXX";

        int fd = mkstemp(secret);
        assert_true(fd >= 0);
        close(fd);
        for (size_t i = 0; i < escape_count; i++) {
                int status = try(&escapes[i], false, secret);
                if (!WIFEXITED(status))
                        fail_msg("%s: wait status %#x", escapes[i].name, status);
        }
        assert_int_equal(unlink(secret), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_free_without),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
