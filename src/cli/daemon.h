/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the command starts rawviewd, and what it is told. One thread; all functions that return a CliExit have said what
 * went wrong.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct DaemonCommand {
        char **words; /* NULL-terminated; the first is the program's name */
        size_t count;
        bool for_mount; /* it and we exit as mount(8) does, and the path of the view is not printed */
        char *view;     /* what daemon_start has printed: the path of the view */
        int kept_fd;    /* a descriptor that rawviewd gets under the same number; 0: none */
} DaemonCommand;

/* Adds one argument. Returns a CliExit. */
int daemon_add(DaemonCommand *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void daemon_command_done(DaemonCommand *c);

/* rawviewd instead of this process. Returns what to exit with, and only when that fails. */
int daemon_become(DaemonCommand *c);

/* rawviewd in the background; waits until the view is up and prints its path. Returns what to exit with. */
int daemon_start(DaemonCommand *c);

/* Where rawviewd lies: beside this program, as in the build tree; else where meson installs it. `ret` has
 * room for PATH_MAX bytes. */
void daemon_find(char *ret);

/* `path` as seen from the root; symbolic links stay, because rawviewd may live in another folder than we. free() *ret. */
int daemon_make_absolute(const char *path, char **ret, Err *err);
