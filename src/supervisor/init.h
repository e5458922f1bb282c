/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FUSE_INIT: what the kernel offers for a mount and what we take. The supervisor settles it, so that any worker can
 * serve the mount later with the same bytes in hand. One thread.
 */
#pragma once

#include "base/err.h"
#include "ipc/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Init {
        uint8_t request[MESSAGE_INIT_MAX]; /* as the kernel sent it, header and all */
        uint8_t answer[MESSAGE_INIT_MAX];
        size_t request_len, answer_len;
} Init;

/* Whether the kernel may be handed a file, where it can take one (base/fuse-newer.h). */
typedef enum InitPassthrough {
        INIT_WITHOUT_PASSTHROUGH,
        INIT_WITH_PASSTHROUGH,
} InitPassthrough;

/* Fills i->answer from i->request. EPROTO: the request makes no sense or is of another protocol. */
int init_answer(Init *i, InitPassthrough passthrough, Err *err);

/* Reads the request from a fresh mount and writes the answer. */
int init_exchange(int fuse_fd, InitPassthrough passthrough, Init *ret, Err *err);

/* The kernel can take a file, and was told that it may get one. */
bool init_has_passthrough(const Init *i);
