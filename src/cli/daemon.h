/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the command starts rawviewd, and what it is told. One thread; all functions that return a CliExit have said what
 * went wrong.
 */
#pragma once

#include "base/err.h"

#include <limits.h>
#include <stddef.h>

typedef struct DaemonCommand {
        char **words; /* NULL-terminated; the first is the program's name */
        size_t count;
} DaemonCommand;

/* Adds one argument. Returns a CliExit. */
int daemon_add(DaemonCommand *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void daemon_command_done(DaemonCommand *c);

/* rawviewd instead of this process. Returns a CliExit, and only when that fails. */
int daemon_become(DaemonCommand *c);

/* rawviewd in the background; waits until the view is up and prints its path. Returns a CliExit. */
int daemon_start(DaemonCommand *c);

/* `path` as seen from the root; symbolic links stay, because rawviewd may live in another folder than we. free() *ret. */
int daemon_make_absolute(const char *path, char **ret, Err *err);
