/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines on stderr, for programs only: floors below a program return errors and never log. Under the journal each
 * line carries its priority as "<N>". Any thread; the level is set while there is but one.
 */
#pragma once

#include <stdbool.h>

typedef enum LogLevel {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* Lines less important than `max` are left out. `program` stands in front of each line on a terminal. */
void log_open(const char *program, LogLevel max);

/* Of a program that systemd has started as a generator all lines go to the kernel's log from here on: stderr leads nowhere
 * then, and the journal may not be there yet, or wait for whoever waits for us. Of any other, nothing changes. */
void log_open_kernel(void);

/* Another level, with the same program and the same place to write to. */
void log_set_max(LogLevel max);

/* False: lines of this level are left out. */
bool log_wants(LogLevel level);

/* stderr is the journal's. */
bool log_is_journal(void);

/* One line; control characters and what is no UTF-8 become '?'. */
void log_line(LogLevel level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
