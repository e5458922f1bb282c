/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who has a view open, and whether anybody else may open it still. Embedded in its View, which owns it. Any thread; its
 * lock is innermost.
 *
 * The pid is that of the process that opened the file; others may have inherited it, and it may be gone.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        /* Further opens are counted, but their processes are not remembered. */
        USE_OPENERS_MAX = 64,
        /* So many different processes are named. */
        USE_NAMED_MAX = 16,
        USE_TEXT_MAX = 512,
};

typedef struct Use {
        pthread_mutex_t lock;
        uint64_t readers, writers; /* open files, by what they were opened for; guarded by lock */
        bool ending;               /* guarded by lock */
        pid_t exempt;              /* who may open it all the same; 0: nobody; guarded by lock */
        pid_t openers[USE_OPENERS_MAX]; /* 0: free; guarded by lock */
} Use;

typedef enum UseAccess {
        USE_READING,
        USE_WRITING,
} UseAccess;

int use_init(Use *u);
void use_done(Use *u);

/* Counts one more open file. `pid` may be 0: not known. *ret_id belongs into use_close(). ESHUTDOWN: the view is about to
 * end. */
int use_open(Use *u, UseAccess access, pid_t pid, uint64_t *ret_id);
void use_close(Use *u, UseAccess access, uint64_t id);

/* From now on nobody can open it but `exempt` (0: nobody at all). */
void use_end(Use *u, pid_t exempt);

/* Open files, by what they were opened for. */
void use_get_counts(Use *u, uint64_t *ret_readers, uint64_t *ret_writers);

/* "readers=3 writers=1 errors=0 pids=17,4711": plain text, for those who have no parser of JSON. Returns its length. */
size_t use_format(Use *u, uint64_t errors, char ret[USE_TEXT_MAX]);
