/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's requests, translated into calls of a View: a buffer, an errno, nothing else. The view is the root
 * node of its file system, a regular file, and the only one; or the root is a folder, and the views are the files in it, numbered
 * in their order from OPS_FIRST_FILE on. What is asked of the folder itself, the first of them answers.
 *
 * A thread has a libfuse session of its own, whose user data is its OpsThread. For src/fuse only.
 */
#pragma once

#include "fuse/session.h"
#include "view/folder.h"

enum {
        OPS_FIRST_FILE = 2,
};

typedef struct OpsThread {
        SessionUser user;     /* first: see fuse/session.h */
        View *view;           /* borrowed */
        const Folder *folder; /* as in ServeOptions */
        /* Where read requests are answered from. */
        void *answer;
        size_t answer_len;
        /* As the supervisor promised the kernel. */
        uint32_t max_write;
        bool may_be_direct; /* the kernel keeps its page cache true beside FOPEN_DIRECT_IO */
        int32_t backing_id; /* of ServeOptions */
} OpsThread;

extern const struct fuse_lowlevel_ops ops_table;
