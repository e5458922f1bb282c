/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One end of the socket between supervisor and worker. One thread at a time on each side, except channel_send,
 * which any thread may call. What passes leaves no copy here: some of it is secret.
 */
#pragma once

#include "base/err.h"
#include "ipc/message.h"

/* Two ends, both close-on-exec. */
int channel_pair(int ret[2], Err *err);

/* Sends `m` (m->kind is set by the caller, m->len is filled in) with a copy of `fd`, or none when fd is -1. EAGAIN: the
 * channel does not block, and the other side does not read. */
int channel_send(int channel, Message *m, int fd, Err *err);

/* Waits for the next message. 1: there is one, its kind, length and texts are checked, and *ret_fd is a new
 * close-on-exec descriptor or -1. With ret_fd NULL none ever arrives here: the kernel drops it, and the message counts as
 * nonsense. 0: the other side is gone. -EBADMSG: the packet made no sense. */
int channel_receive(int channel, Message *ret, int *ret_fd, Err *err);
