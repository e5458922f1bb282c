/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker as a process: started with one end of a channel and nothing else, watched, ended. One thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Worker {
        pid_t pid;   /* -1: none */
        int pidfd;   /* readable when it has ended */
        int channel; /* our end, which never blocks; -1 after the other end was closed */
        int words;   /* what it writes to stderr; read when it has ended */
} Worker;

#define WORKER_NONE                                                 \
        (Worker)                                                    \
        {                                                           \
                .pid = -1, .pidfd = -1, .channel = -1, .words = -1, \
        }

/* Its stdin and stdout are /dev/null, its stderr is a pipe: it can neither write to the journal nor to a terminal.
 * `writable`: a file system or a device may write to its view, so the kernel is told to have it neither wait for that nor start it
 * when it needs memory, where we may say so (CAP_SYS_RESOURCE). */
int worker_spawn(bool writable, Worker *ret, Err *err);

/* Waits for one that has ended or been killed. Fills `err` with how it ended ("was ended by signal 11 …"), with the
 * first line of its stderr where it was no ordinary end, and returns 0 when it exited with status 0, -ECHILD
 * otherwise. */
int worker_reap(Worker *w, Err *err);

void worker_kill(Worker *w);

/* Kills and reaps what still runs. One that the kernel does not let go is left to it after a while. */
void worker_done(Worker *w);
