/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/memory-limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SOFT (UINT64_C(1) << 40)
#define HARD (SOFT + 4096)

static int expect_soft(uint64_t soft, uint64_t hard)
{
        struct rlimit limit;
        getrlimit(RLIMIT_AS, &limit);
        return limit.rlim_cur == soft && limit.rlim_max == hard ? 0 : 1;
}

/* In a child: nobody gets a hard limit back. */
static int limited(void)
{
        struct rlimit limit = { SOFT, HARD };
        MemoryLimit before;

        if (setrlimit(RLIMIT_AS, &limit) < 0)
                return 1;
        if (memory_limit_raise(1024, &before) < 0 || expect_soft(SOFT + 1024, HARD) != 0)
                return 2;
        memory_limit_restore(&before);
        if (expect_soft(SOFT, HARD) != 0)
                return 3;
        if (memory_limit_raise(UINT64_MAX, &before) < 0 || expect_soft(HARD, HARD) != 0)
                return 4;
        memory_limit_restore(&before);
        if (memory_limit_settle() < 0 || expect_soft(SOFT, SOFT) != 0)
                return 5;
        if (memory_limit_raise(1024, &before) < 0 || expect_soft(SOFT, SOFT) != 0)
                return 6;
        return 0;
}

static void test_raises_for_a_while(void **state)
{
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
                _exit(limited());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_raises_for_a_while) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
