/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A child process that goes behind a barrier and then does something. How it ended is what the test looks at: an inmate
 * asserts nothing and prints nothing.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        /* Exit statuses; an errno is a status as well. */
        INMATE_DID_IT = 0,
        INMATE_NOT_IN = 250,
};

typedef struct Inmate {
        int (*enter)(void); /* negative: the barrier could not be raised */
        int (*act)(void);   /* 0, or the positive errno that it met */
} Inmate;

/* The wait status. */
static inline int inmate_run(const Inmate *inmate)
{
        int status = -1;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (inmate->enter() < 0)
                        _exit(INMATE_NOT_IN);
                _exit(inmate->act());
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}
