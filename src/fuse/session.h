/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A libfuse session over a connection whose FUSE_INIT somebody else has answered: it is given that request from memory, and what it
 * answers goes nowhere. Owned by who has made it; one thread at a time.
 */
#pragma once

#define FUSE_USE_VERSION 314

#include "base/err.h"

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>

/* What the user data of such a session begins with. */
typedef struct SessionUser {
        bool replaying;
        bool ready; /* init() of the callbacks sets it: libfuse has taken FUSE_INIT */
} SessionUser;

/* `fd` becomes the session's own, which closes it, when this succeeds. fuse_session_destroy() it. */
int session_new(const struct fuse_lowlevel_ops *ops,
                SessionUser *user,
                int fd,
                struct fuse_session **ret,
                Err *err);

/* `request` is copied to `buf`, which libfuse changes and which has room for `len` bytes. */
int session_replay(struct fuse_session *s,
                   SessionUser *user,
                   const void *request,
                   size_t len,
                   void *buf,
                   Err *err);
