/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker that was taken over (hostile-worker.c), and what it answers the kernel (hostile-fuse.c). One guest a process.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
        GUEST_LINE_MAX = 3000,
        GUEST_XATTR_MAX = 64 << 10,
};

typedef struct Guest {
        int channel, image, fuse;
        uint64_t size;      /* of the image */
        uint64_t size_told; /* of the view */
        uint32_t mode;
        char line[GUEST_LINE_MAX];
        const char *argument;
        const char *format;
        char *state; /* user.rawview.state */
        atomic_bool answers;
        bool talks_nonsense;
} Guest;

/* A thread that answers as `arg`, a Guest, says. When the file system is gone it stays, as no honest worker does. */
void *guest_serve(void *arg);
