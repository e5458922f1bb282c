/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers the kernel's requests for one View in a fixed set of threads, each of which reads /dev/fuse itself. The
 * mount exists and its FUSE_INIT is answered already: each thread replays that request into a libfuse session of
 * its own, so that any number of workers, one after the other, can serve one mount.
 *
 * serve_start, serve_trim, serve_stop, serve_free: one thread, the owner's. SIGUSR1 is taken for ending waits for
 * requests.
 * Instead of /dev/fuse any socket that keeps packets apart will do, which is how the tests talk to it.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Serve Serve;
typedef struct View View;
typedef struct Folder Folder;

typedef struct ServeOptions {
        View *view; /* borrowed */
        const Folder *
                folder; /* borrowed; in which `view` is the first. NULL: `view` is the root of its file system */
        int fd;             /* borrowed; only copies of it are used after serve_start */
        int32_t backing_id; /* the file, in the kernel's hands, with which opens are answered; 0: with none */
        /* FUSE_INIT as the kernel sent it and as it was answered, with their headers; borrowed during the call. */
        const void *init_request, *init_answer;
        size_t init_request_len, init_answer_len;
        unsigned thread_count; /* 0: sixteen, of which a few read requests at a time (turns.h) */
        /* An eventfd, borrowed: written to when a thread has ended, or has taken memory for requests. */
        int wake_fd;
} ServeOptions;

/* EBADMSG: the INIT makes no sense. */
int serve_start(const ServeOptions *options, Serve **ret, Err *err);

/* The kernel forgets what it knows of owner, group, mode, size and times, and asks again. It does not wait for anybody.
 * Fails with the errno of the kernel's refusal. */
int serve_forget_attributes(Serve *s);

/* Some thread has ended: the view is unmounted, its connection was aborted, or reading requests failed. */
bool serve_has_ended(Serve *s);

/* Threads that have had no request since the last call give back their memory for requests; a busy one keeps it.
 * true: there is more, and it is worth another call in a while. false: `wake_fd` will tell. */
bool serve_trim(Serve *s);

/* Lets every thread finish the request that it is at, and waits for all of them. 0: until then there were requests to
 * answer, or the file system is gone. Otherwise the errno of what failed. */
int serve_stop(Serve *s, Err *err);

/* Stops first. Accepts NULL; returns NULL. */
Serve *serve_free(Serve *s);

static inline void serve_freep(Serve **s)
{
        *s = serve_free(*s);
}
#define _cleanup_serve_ __attribute__((cleanup(serve_freep)))
