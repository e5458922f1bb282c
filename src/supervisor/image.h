/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files behind a view: the image and all that it names, opened here on behalf of the worker. A copy of every
 * descriptor that was given out is kept, so that a worker can be replaced; and with it the image lock, which belongs to
 * the open file. Nothing here reads them. One thread.
 */
#pragma once

#include "base/err.h"
#include "config/config.h"
#include "ipc/message.h"
#include "reference/reference.h"

enum {
        /* A chain has 32 layers at most, each with an external data file at most. */
        IMAGE_LAYERS_MAX = 80,
};

typedef struct Layer {
        int fd;
        char *path; /* absolute, symbolic links resolved */
} Layer;

typedef struct Image {
        Layer layers[IMAGE_LAYERS_MAX]; /* 0: the image itself */
        size_t count;
        bool writable;
        bool force_share;    /* no locks */
        bool lock_is_warned; /* that a file has none: once is enough */
        ReferencePolicy policy;
        /* Of the Config, which outlives this. */
        char *const *allowed;
        const char *given;
} Image;

/* Opens and locks c->path, which may be a regular file or a block device. EAGAIN: somebody else uses it. Logs a warning
 * where nothing keeps others from writing to it. */
int image_open(const Config *c, Image *ret, Err *err);

/* Answers MESSAGE_OPEN: fills `answer` (OPENED or REFUSED); *ret_fd is borrowed, -1 for REFUSED. */
void image_answer(Image *i, const MessageOpen *ask, Message *answer, int *ret_fd);

/* What was written survives a power failure. */
int image_sync(Image *i, Err *err);

void image_done(Image *i);
