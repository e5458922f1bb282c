/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call that may never return, made by a child process: whatever looks at a view, whose server may hang, goes
 * through here. The child holds no descriptor of its parent but stdio and one `folder`, so that a child which the
 * kernel does not let go keeps nothing else open. For programs with one thread. An Attempt belongs to its starter.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum {
        ATTEMPT_RESULT_MAX = 4096,
};

/* Runs in the child. `folder` is a descriptor or -1. Fills the zeroed `result` (aligned for any type); returns 0 or a
 * negative errno. */
typedef int (*AttemptWork)(const void *arg, int folder, void *result);

typedef struct Attempt {
        pid_t pid;
        int pidfd;  /* readable when the child has ended */
        int result; /* our end of a pipe */
        size_t result_len;
} Attempt;

/* `result_len` is at most ATTEMPT_RESULT_MAX. */
int attempt_start(AttemptWork work, const void *arg, int folder, size_t result_len, Attempt *ret);

/* Waits at most `limit_ms` and ends the attempt: what the work returned (its result in `result`, which may be NULL),
 * -ETIMEDOUT when it was given up, -EPROTO when the child crashed. */
int attempt_finish(Attempt *a, int limit_ms, void *result);

/* Kills and forgets the child, which may be unable to die now. Accepts a finished attempt. */
void attempt_drop(Attempt *a);

/* The same for many, all at once, which takes no longer than for one. A child that has not died keeps its `pid`: whoever
 * wants to know waits for it, with WNOHANG. */
void attempt_drop_all(Attempt *attempts, size_t count);
