/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the supervisor waits for: signals, the worker's messages and its end, and one thing more at times. Everything
 * that a worker says is checked against what it may say at that point; one that breaks the rules is killed.
 */
#pragma once

#include "supervisor/manager.h"

int64_t watch_now_ms(void);

/* Waits once, at most `timeout_ms` (-1: for ever), and takes what came into the Manager. 1: `extra_fd` (or -1) can be
 * read. */
int watch_step(Manager *m, int extra_fd, int timeout_ms);

/* Why the worker cannot be used any more; the first reason stays. */
void watch_fail(Manager *m, int code, const char *text);

/* Waits until the worker is gone: 0, or -ETIMEDOUT. */
int watch_worker_end(Manager *m, int limit_ms);
