/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a process has taken a signal that it was sent. What the unit needs for `systemctl reload`: systemd before 253
 * takes a reload for done when the command of ExecReload= has ended, unless it has heard RELOADING=1 by then. Any thread.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* Waits until it has. ESRCH: there is no such process (any more). ETIMEDOUT. */
int pending_wait(pid_t pid, int signo, int limit_ms, Err *err);
