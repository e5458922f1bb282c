/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker shows: the image with all that it names, and where there is one the overlay that lies over it. Opened once, by
 * the thread that later waits for the end; everything that has to be opened is asked for through the channel.
 */
#pragma once

#include "base/err.h"
#include "block/node.h"
#include "ipc/message.h"
#include "worker/digest.h"
#include "worker/window.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Shown {
        Cache *cache;           /* owned */
        Node *node;             /* the overlay, else the image or one of the layers below it */
        Node *top;              /* owned: what `node` is, or lies below */
        const Format *format;   /* of the image */
        bool guessed;           /* see Node; of the image */
        MessageOverlay overlay; /* what takes the writes; path "": the image itself, or nothing */
        Store *over;            /* owned: the overlay's file, until the node has it */
        uint32_t plain;         /* as in MESSAGE_SEALED */
        Window window;
        Digests digests;       /* none where nobody asks for them */
        PartitionTable *table; /* owned; NULL: one file is shown */
} Shown;

/* Takes `fd`, the image, whatever happens. After a failure shown_done() is called all the same. */
int shown_open(Shown *s, const MessageImage *image, int channel, int fd, Err *err);

void shown_done(Shown *s);
