/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two processes of a view, found without asking the view itself, which may be what gives no answer. What belongs to other
 * users cannot always be looked at. One thread.
 */
#pragma once

#include "base/mountinfo.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct ViewProcess {
        pid_t pid;    /* 0: there is none, or it was not found */
        pid_t tracer; /* 0: nobody */
        char state; /* as /proc/PID/stat has it: 'T' stopped, 't' by who traces it, 'D' waits for a disk */
} ViewProcess;

typedef struct ViewService {
        ViewProcess daemon, worker;
} ViewService;

void view_service_find(const MountEntry *e, ViewService *ret);
