/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of a child that has given capabilities up. */
#include "../process-status.h"
#include "base/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SOME (CAPABILITY_BIT(CAP_SETPCAP) | CAPABILITY_BIT(CAP_KILL))

/* 0: all is as it should be; else what is not. */
static int child_says(uint64_t effective, uint64_t permitted, uint64_t bounding)
{
        if (process_status("\nCapEff:\t", 16) != effective)
                return 1;
        if (process_status("\nCapPrm:\t", 16) != permitted)
                return 2;
        if (process_status("\nCapBnd:\t", 16) != bounding)
                return 3;
        return process_status("\nCapInh:\t", 16) || process_status("\nCapAmb:\t", 16) ? 4 : 0;
}

static int child_keep(void)
{
        uint64_t bounding = process_status("\nCapBnd:\t", 16);
        return capabilities_keep(SOME) < 0 ? 10 : child_says(SOME, SOME, bounding);
}

/* What is gone does not come back. */
static int child_keep_again(void)
{
        uint64_t bounding = process_status("\nCapBnd:\t", 16);
        if (capabilities_keep(SOME) < 0 || capabilities_keep(CAPABILITY_BIT(CAP_SYS_ADMIN)) < 0 ||
            capabilities_keep(UINT64_MAX) < 0)
                return 10;
        return child_says(0, 0, bounding);
}

static int child_bound(void)
{
        uint64_t permitted = process_status("\nCapPrm:\t", 16);
        uint64_t effective = process_status("\nCapEff:\t", 16);

        capabilities_bound(SOME);
        return child_says(effective, permitted, SOME);
}

static int child_bound_without_right(void)
{
        uint64_t bounding = process_status("\nCapBnd:\t", 16);
        if (capabilities_keep(CAPABILITY_BIT(CAP_KILL)) < 0)
                return 10;
        capabilities_bound(0);
        return child_says(CAPABILITY_BIT(CAP_KILL), CAPABILITY_BIT(CAP_KILL), bounding);
}

static int child_ambient(void)
{
        uint64_t bounding = process_status("\nCapBnd:\t", 16);
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[2] = { 0 };

        if (syscall(SYS_capget, &header, sets) < 0)
                return 10;
        sets[0].inheritable |= UINT32_C(1) << CAP_KILL;
        if (syscall(SYS_capset, &header, sets) < 0 ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)CAP_KILL, 0UL, 0UL) < 0 ||
            process_status("\nCapAmb:\t", 16) != CAPABILITY_BIT(CAP_KILL))
                return 11;
        return capabilities_keep(SOME) < 0 ? 12 : child_says(SOME, SOME, bounding);
}

static int child_down_to_none(void)
{
        if (capabilities_keep(CAPABILITY_BIT(CAP_WAKE_ALARM)) < 0)
                return 10;
        /* One with a number of the second word. */
        if (capabilities_have_none())
                return 11;
        return capabilities_keep(0) < 0 || !capabilities_have_none() ? 12 : 0;
}

static void expect_child(const char *name, int (*child)(void))
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(child());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0)
                fail_msg("%s: wait status %#x", name, status);
}

static void test_root(void **state)
{
        if (geteuid() != 0)
                skip();
        expect_child("some are kept", child_keep);
        expect_child("none comes back", child_keep_again);
        expect_child("the bounding set", child_bound);
        expect_child("the bounding set without CAP_SETPCAP", child_bound_without_right);
        expect_child("ambient ones", child_ambient);
        expect_child("down to none", child_down_to_none);
}

static int child_without_any(void)
{
        uint64_t bounding = process_status("\nCapBnd:\t", 16);
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
                return 10;
        if (capabilities_keep(SOME) < 0)
                return 11;
        capabilities_bound(0);
        return capabilities_have_none() ? child_says(0, 0, bounding) : 12;
}

static void test_user(void **state)
{
        expect_child("one who has none", child_without_any);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_root),
                cmocka_unit_test(test_user),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
