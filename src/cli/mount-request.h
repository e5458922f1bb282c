/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One view to be shown, as the words of a command line say: checked here, so that mistakes are found early, and handed on to
 * rawviewd. All functions that return a CliExit have said what went wrong. One thread.
 */
#pragma once

#include "cli/cli.h"
#include "cli/daemon.h"
#include "config/config.h"

#include <stdbool.h>

typedef struct MountRequest {
        Config config;         /* only to find mistakes early */
        DaemonCommand command; /* what rawviewd gets */
        bool for_mount; /* mount(8) called: one line for an error, nothing on stdout, its exit statuses */
        bool sloppy;         /* options that nobody knows are left out */
        bool may_be_missing; /* nofail: an image that is not there is no error */
        bool verbose;
        bool quiet;        /* a person is told nothing */
        const char *image; /* as it was named */
        char *own_place;   /* a file that was made for this view alone; NULL: none */
} MountRequest;

void mount_request_init(MountRequest *m);
void mount_request_done(MountRequest *m);

/* One line of what is wrong with how we were called, and for people where help is. Returns CLI_USAGE. */
int mount_request_refuse(const MountRequest *m, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* Sets an option of the table in config/config.h. */
int mount_request_set(MountRequest *m, const char *name, const char *value);

/* Image and mount point are words of their own, not options. */
bool mount_request_is_path(const char *option);

int mount_request_set_pid_file(MountRequest *m, const char *file);

/* All of -o. */
int mount_request_take_words(MountRequest *m, const char *text);

/* Without a `mount_point` (NULL) the view covers the image, or where that cannot be, a new file (cli/own-place). The last to be called: what depends on several options is settled. */
int mount_request_take_paths(MountRequest *m, const char *image, const char *mount_point);

/* rawviewd in the background, or in our place. Returns what to exit with. */
int mount_request_run(MountRequest *m, bool foreground);
