/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Opener of a process that can open nothing: asks the broker at the other end of its channel for each file that an
 * image names, and for the passphrase of what is encrypted, and waits for the answer. It knows the files that it gave out by
 * the numbers that the broker gave them. One thread; owns nothing but its list.
 */
#pragma once

#include "block/opener.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct IpcLayer {
        Store *store; /* borrowed, to be compared only */
        uint32_t number;
        char *name;   /* owned; see ipc_opener_name() */
        char *target; /* owned; see ipc_opener_target() */
} IpcLayer;

typedef struct IpcOpener {
        Opener opener; /* first: an Opener is all that others see */
        int channel;   /* borrowed */
        IpcLayer *layers;
        size_t layer_count;
} IpcOpener;

/* `top` is layer 0. */
int ipc_opener_init(IpcOpener *o, int channel, Store *top, Err *err);

/* One more file that is open already, under the number by which the broker knows it. */
int ipc_opener_know(IpcOpener *o, Store *s, uint32_t number, Err *err);

/* Where the file lies, when the name that led to it is a symbolic link and the broker tells of such. NULL: it did not
 * say so. Belongs to the opener. */
const char *ipc_opener_target(const IpcOpener *o, const Store *s);

/* The name that it was asked for, as the image says it. NULL: the top image, or not opened here. Belongs to the opener. */
const char *ipc_opener_name(const IpcOpener *o, const Store *s);

/* Under which number the broker knows the file of `s`. False: it was not opened here. */
bool ipc_opener_get_number(const IpcOpener *o, const Store *s, uint32_t *ret);

void ipc_opener_done(IpcOpener *o);

#define _cleanup_ipc_opener_ __attribute__((cleanup(ipc_opener_done)))
