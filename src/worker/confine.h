/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox of a worker, as the supervisor's first message asks for it. Called once, while there is one thread.
 */
#pragma once

#include "base/err.h"
#include "ipc/message.h"
#include "sandbox/sandbox.h"

/* Of the descriptors these three are left, and stdio. After a failure the process may only say so and end. */
int worker_confine(const MessageImage *image,
                   int channel,
                   int wake_fd,
                   int image_fd,
                   SandboxReport *ret,
                   Err *err);
