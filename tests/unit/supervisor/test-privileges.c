/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of a supervisor at each stage; the bits are written out, so that one more is seen here. */
#include "../process-status.h"
#include "build-config.h"
#include "supervisor/privileges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
        STRANGER = 65534,

        DAC_OVERRIDE = 1 << 1,
        DAC_READ_SEARCH = 1 << 2,
        KILL = 1 << 5,
        SETGID = 1 << 6,
        SETUID = 1 << 7,
        SETPCAP = 1 << 8,
        SYS_PTRACE = 1 << 19,
        SYS_ADMIN = 1 << 21,
        SYS_RESOURCE = 1 << 24,

        TO_SERVE = SYS_ADMIN | DAC_READ_SEARCH | KILL,
        TO_OPEN = TO_SERVE | DAC_OVERRIDE | SYS_PTRACE,
        TO_START = TO_OPEN | SETGID | SETUID | SETPCAP | SYS_RESOURCE,
};

typedef struct Case {
        const char *name;
        PrivilegeStage stage;
        const char *pid_file;
        uint64_t capabilities, bounding;
} Case;

static uint64_t child_had; /* which of all that it ever may have: containers may lack one */

static int child_run(const Case *c)
{
        for (PrivilegeStage stage = PRIVILEGES_STARTING; stage <= c->stage; stage++)
                if (privileges_reduce(stage, stage == c->stage ? c->pid_file : NULL, NULL) < 0)
                        return 1;
        if (process_status("\nCapEff:\t", 16) != (c->capabilities & child_had))
                return 2;
        if (process_status("\nCapPrm:\t", 16) != (c->capabilities & child_had))
                return 3;
        if (process_status("\nCapBnd:\t", 16) != (c->bounding & child_had))
                return 4;
        if (process_status("\nCapInh:\t", 16) || process_status("\nCapAmb:\t", 16))
                return 5;
        if (process_status("\nNoNewPrivs:\t", 10) != 1)
                return 6;
        return prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) == RAWVIEW_SANITIZED ? 0 : 7;
}

static int run(int (*child)(const Case *c), const Case *c)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(child(c));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void test_stages(void **state)
{
        char theirs[] = "/tmp/rawview-privileges.XXXXXX", ours[] = "/tmp/rawview-privileges.XXXXXX";
        char in_theirs[64], in_ours[64];

        if (geteuid() != 0)
                skip();
        child_had = process_status("\nCapBnd:\t", 16);
        /* But for this one, which tests elsewhere do without. */
        assert_int_equal(TO_START & ~child_had & ~(uint64_t)SYS_RESOURCE, 0);
        assert_non_null(mkdtemp(theirs));
        assert_non_null(mkdtemp(ours));
        assert_int_equal(chown(theirs, STRANGER, STRANGER), 0);
        snprintf(in_theirs, sizeof(in_theirs), "%s/pid", theirs);
        snprintf(in_ours, sizeof(in_ours), "%s/pid", ours);
        const Case cases[] = {
                { "starting", PRIVILEGES_STARTING, NULL, TO_START, TO_START },
                { "spawned", PRIVILEGES_SPAWNED, NULL, TO_OPEN, 0 },
                { "sealed", PRIVILEGES_SEALED, NULL, TO_SERVE, 0 },
                { "a loop device to come", PRIVILEGES_LOOP, NULL, TO_SERVE | DAC_OVERRIDE, 0 },
                { "a pid file", PRIVILEGES_SEALED, in_ours, TO_SERVE, 0 },
                { "a pid file in /", PRIVILEGES_SEALED, "/pid", TO_SERVE, 0 },
                { "nowhere", PRIVILEGES_SEALED, "/nowhere/pid", TO_SERVE, 0 },
                { "theirs", PRIVILEGES_SEALED, in_theirs, TO_SERVE | DAC_OVERRIDE, 0 },
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int status = run(child_run, &cases[i]);
                if (status != 0)
                        fail_msg("%s: wait status %#x", cases[i].name, status);
        }
        assert_int_equal(rmdir(theirs), 0);
        assert_int_equal(rmdir(ours), 0);
}

/* fusermount3 is setuid, and the bounding set is for it. */
static int child_of_user(const Case *c)
{
        uint64_t bounding = process_status("\nCapBnd:\t", 16);
        uint64_t before = process_status("\nNoNewPrivs:\t", 10);

        if (geteuid() == 0 && setresuid(STRANGER, STRANGER, STRANGER) < 0)
                return 1;
        for (PrivilegeStage stage = PRIVILEGES_STARTING; stage <= PRIVILEGES_SEALED; stage++)
                if (privileges_reduce(stage, NULL, NULL) < 0)
                        return 2;
        if (process_status("\nNoNewPrivs:\t", 10) != before)
                return 3;
        return process_status("\nCapBnd:\t", 16) == bounding ? 0 : 4;
}

static void test_user(void **state)
{
        assert_int_equal(run(child_of_user, NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stages),
                cmocka_unit_test(test_user),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
