/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a verb does with an image is done by a child process that goes into the sandbox first. This process never looks
 * at the image: it opens what the child asks for, believes nothing of what it says, and tells how it ended. A signal
 * that ends this one ends the child as well. One thread.
 */
#pragma once

#include "broker/broker.h"
#include "sandbox/sandbox.h"

#include <sys/types.h>

typedef struct ConfinedTask {
        const char *file; /* for people */
        Broker *broker;   /* what it may have; of this process */
        /* In the child, which is free still: goes into the sandbox, does the work, returns the exit status. `channel`
         * is where it asks, `parent` the process whose end is its own. */
        int (*run)(void *arg, int channel, pid_t parent);
        /* In this process, when there is a child: what signals shall do besides. May be NULL. Not earlier, because a file that
         * does not answer keeps a process from taking a signal unless that ends it. */
        void (*attend)(void *arg);
        void *arg;
} ConfinedTask;

/* For `run`: into the sandbox, and a line for -v about what is around the process now. */
int confined_enter(const char *file, const SandboxOptions *options, Err *err);

/* Returns the child's exit status, or CLI_FAILURE with a line why there is none. */
int confined_run(const ConfinedTask *task);
