/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AssertUnchanged=: what the worker says of the files of the image, before anything is shown and afterwards, is logged and
 * compared. The worker reads them; that it could lie is known, and that nothing else can read them meanwhile is not claimed. One
 * thread.
 */
#pragma once

#include "base/err.h"
#include "ipc/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Manager Manager;

enum {
        UNCHANGED_HEX = 2 * MESSAGE_SHA256_LEN + 1,
};

/* Of one file. */
typedef struct UnchangedFile {
        bool begun[2], known[2]; /* before, and after */
        uint64_t done[2];
        char sha256[2][UNCHANGED_HEX];
} UnchangedFile;

typedef struct Unchanged {
        UnchangedFile *files; /* owned; by the broker's numbers */
        size_t count;
        int64_t said_ms; /* when there was progress; 0: never */
} Unchanged;

/* Whether one may be said now, by who has been asked for it. */
bool unchanged_may_be_said(const Manager *m);

/* -EPROTO: nobody who reads files says that. */
int unchanged_take(Manager *m, const MessageDigest *d, Err *err);

/* Until when to wait for a worker that makes progress. */
int64_t unchanged_extend(const Manager *m, int64_t end_ms, int limit_ms);

/* At the end. -ESTALE: a file has changed, or it was not found out whether one has; the text names it. */
int unchanged_judge(const Manager *m, Err *err);

void unchanged_done(Unchanged *u);
