/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image that a command opens by itself: its node and all that the node borrows. One thread.
 */
#pragma once

#include "block/cache.h"
#include "block/node.h"
#include "cli/file-opener.h"

#include <stdbool.h>

typedef struct ImageRequest {
        const char *file;
        const char *format; /* NULL: look at it */
        ReferencePolicy references;
        char *const *allowed;
        bool force_share; /* without image locks */
        bool writable;    /* `file` itself, with the lock of a writer */
        bool for_check;   /* see NodeOptions */
        bool with_chain;  /* with all files that it names; else nothing but `file` is opened */
} ImageRequest;

typedef struct Image {
        Node *node;
        Cache *cache;
        FileOpener opener;
} Image;

/* Fills `i`, which image_done() empties whatever this returns. Error texts do not name the file itself. Without the
 * chain the process is in the sandbox before it reads the first byte of the image, and can open nothing ever after. */
int image_open(const ImageRequest *request, Image *i, Err *err);

void image_done(Image *i);

#define _cleanup_image_ __attribute__((cleanup(image_done)))
