/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image of a view as a file: opened and locked before a worker is there, and the broker that answers the worker's
 * questions for what the image names. Nothing here reads it. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"
#include "broker/broker.h"
#include "config/config.h"

/* Owner and mode let others than root see what is shown. */
bool image_is_for_others(const Config *c);

/* Opens and locks c->path, which may be a regular file or a block device; `c` outlives the broker. EAGAIN: somebody
 * else uses it. EPERM: it is, or could be made, one that `rule` is against. Logs a warning where nothing keeps others from writing to it. */
int image_open(const Config *c, PathRule rule, Broker *ret, Err *err);
