/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command for people: one verb per file, `verb-NAME.c`, and the table of them in main.c.
 *
 * A verb gets its own words: argv[0] is "rawview NAME" (for the messages of getopt), argv[1] is what follows the
 * verb. It parses its options itself, -h and --help among them, and returns the exit status. One thread.
 */
#pragma once

#include "base/err.h"

typedef enum CliExit {
        CLI_OK = 0,
        CLI_FAILURE = 1,
        CLI_USAGE = 2,
} CliExit;

int verb_check(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_info(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_map(int argc, char **argv);
int verb_mount(int argc, char **argv);
int verb_partitions(int argc, char **argv);
int verb_umount(int argc, char **argv);

/* Without a verb: argv[0] is the program. With -o it is mount(8) that calls, and gets its exit statuses. */
int verb_mount_unnamed(int argc, char **argv);

/* What mount(8) and umount(8) call as mount.rawview, umount.fuse.rawview and the like. Return a MountExit. */
int verb_mount_helper(int argc, char **argv);
int verb_umount_helper(int argc, char **argv);

/* One line "rawview: FILE: TEXT" on stderr. Returns CLI_FAILURE. */
int cli_fail(const char *file, const Err *err);

/* One line "rawview: TEXT" and where to look, on stderr. `verb` may be NULL. Returns CLI_USAGE. */
int cli_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What getopt has complained about already: only where to look. Returns CLI_USAGE. */
int cli_see_help(const char *verb);

/* Makes sure that all of stdout has been written. Returns `status`, or CLI_FAILURE with a line why not. */
int cli_end(int status);
