/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read-only view of an image that a command needs for a moment, in a folder of its own that goes with it. Its service ends when this
 * process does, however that ends. SIGINT, SIGTERM and SIGHUP wait as long as there is one, so that it is taken away. One thread.
 */
#pragma once

#include "base/err.h"
#include "config/config.h"

#include <signal.h>
#include <sys/types.h>

typedef struct PrivateView {
        int fd; /* of the view, to be read; -1: there is none */
        pid_t pid;
        char *folder, *path;
        sigset_t mask; /* before */
        bool holds_signals;
} PrivateView;

#define PRIVATE_VIEW_NONE ((PrivateView){ .fd = -1 })

/* Of `image`, as format, references, allowed paths and force_share of `how` say. The text of an error is what the service said. */
int private_view_open(const char *image, const Config *how, PrivateView *ret, Err *err);

/* Accepts one that could not be opened. */
void private_view_done(PrivateView *v);

#define _cleanup_private_view_ __attribute__((cleanup(private_view_done)))
