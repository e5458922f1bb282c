/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A look at the view from outside, as any program would take it, made by a child that can be given up. The file is
 * named by its folder and its name there, because only a path leads through the mount. One thread.
 */
#pragma once

#include "base/attempt.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct LookResult {
        uint64_t size;
} LookResult;

enum {
        LOOK_PIDS_MAX = 16,
        LOOK_TEXT_MAX = 512,
};

/* How much a look asks for. */
typedef enum LookDepth {
        LOOK_ASK,  /* attributes, which the server has to answer for, without opening the view */
        LOOK_READ, /* and a block of it past the page cache */
} LookDepth;

/* Of a look at a view that is up; of attributes that it may not read nothing is known. */
typedef struct LookAnswer {
        char use[LOOK_TEXT_MAX]; /* user.rawview.use, "" where it cannot be had */
        bool unreadable;         /* the server answered that it cannot read that block */
} LookAnswer;

/* What user.rawview.use says. */
typedef struct LookUse {
        uint64_t readers, writers, errors;
        unsigned pid_count;
        pid_t pids[LOOK_PIDS_MAX]; /* of those who opened it, as far as the worker knows */
} LookUse;

/* 1: its server is gone (ENOTCONN). 0: it answers. -ETIMEDOUT: it does not. */
int look_is_dead(int parent, const char *name);

/* Opens, measures and reads the view; the size that the kernel learns by that is what loop devices ask for. The name
 * must stay until the attempt is finished; its result is a LookResult. That the server cannot read there (EIO) is an answer. */
int look_start_first(int parent, const char *name, Attempt *ret);

/* The result is a LookAnswer. What the server answers with an error counts as answered, too; fails with ENOTCONN and the
 * like when there is none. */
int look_start(int parent, const char *name, LookDepth depth, Attempt *ret);

/* A worker may say what it likes. EBADMSG: this makes no sense. */
int look_parse_use(const char *text, LookUse *ret);

/* Writes out all that the machine has in memory, for block devices that lie on the view. */
int look_start_sync(Attempt *ret);

/* Brings to the server what programs have written through mappings, and to disk what the server has. */
int look_start_flush(int parent, const char *name, Attempt *ret);
