/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The qcow2 that takes what is written in the place of the image (Overlay=). It is found or made and locked here, before a worker
 * is there; the worker makes an image of a new file, or looks whether an old one belongs to the image. A new file has no name
 * before it is whole, and a volatile one never gets one. Nothing here reads it. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"
#include "broker/broker.h"
#include "config/config.h"
#include "ipc/message.h"

#include <stdbool.h>

typedef struct Overlay {
        int fd;         /* the broker's; -1: there is none */
        bool is_new;    /* it is still to become an image */
        int folder;     /* in which a new one will have its name; -1 */
        char name[256]; /* … and what name */
        char draft[64]; /* under which name it is made, where a file cannot be made without; "" */
} Overlay;

#define OVERLAY_NONE                    \
        (Overlay)                       \
        {                               \
                .fd = -1, .folder = -1, \
        }

/* Does nothing where `c` has no overlay. The image is layer 0 of `image` already; the overlay becomes the next. EPERM: it is, or
 * could be made, one that `rule` is against. EAGAIN: somebody else uses it. */
int overlay_open(const Config *c, PathRule rule, Broker *image, Overlay *ret, Err *err);

/* For the worker, with the descriptor. */
int overlay_describe(
        const Overlay *o, const Config *c, const Broker *image, Message *ret, Err *err);

/* The worker has made an image of a new file, or there was nothing to do: from now on it can be found. EEXIST: somebody has put
 * a file there meanwhile. */
int overlay_publish(Overlay *o, Err *err);

/* What has no name goes. */
void overlay_done(Overlay *o);
