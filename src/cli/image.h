/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image that a verb looks at: opened and locked here, parsed by a child in the sandbox (cli/confined.h). One thread in
 * each process.
 */
#pragma once

#include "block/cache.h"
#include "block/node.h"
#include "opener/ipc-opener.h"
#include "reference/reference.h"

#include <stdbool.h>

typedef struct ImageRequest {
        const char *file;
        const char *format; /* NULL: look at it */
        ReferencePolicy references;
        char *const *allowed;
        bool force_share; /* without image locks */
        bool writable;    /* `file` itself, with the lock of a writer */
        bool for_check;   /* see NodeOptions */
        bool hints;       /* a person at a terminal is told more */
        bool stay_locked; /* see NodeOptions */
        bool with_chain; /* with all files that it names; else `file` and, where the format needs them, the pieces of the same
                            image */
        void (*prepare)(void); /* what the child does before it is confined; may be NULL */
        void (*attend)(
                void *arg); /* what signals do in the process that waits; `arg` is that of the work; may be NULL */
        bool require_sandbox; /* fail when the kernel lacks a part of it */
} ImageRequest;

/* Of the child. */
typedef struct Image {
        Node *node;
        Cache *cache;
        IpcOpener opener; /* has opened all but the top */
        int fd;           /* of the top; its store's */
} Image;

/* In the child: says what there is to say and returns the exit status. */
typedef int (*ImageWork)(Image *image, void *arg);

/* Returns the exit status, of the work or of what went wrong before it and is said already. */
int image_run(const ImageRequest *request, ImageWork work, void *arg);
