/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far something long has come that the worker does before the view is up, or at its end: told to the service manager, to who sits at
 * the terminal from which the view was started, and at the end, when nobody has that terminal any more, in the name of this
 * process, where `rawview umount` and ps(1) read it. Nothing of an image stands there, but a number. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/progress.h"
#include "ipc/message.h"

#include <stdint.h>

typedef struct Manager Manager;

typedef struct Progressing {
        Progress line;   /* at the terminal */
        int64_t said_ms; /* when the worker came farther; 0: it never said so */
        uint32_t pass, percent;
        unsigned passes;
        int64_t second;    /* of the messages that are counted */
        unsigned messages; /* in it */
} Progressing;

/* The image is being opened, or the end of the view begins. */
void progressing_begin(Manager *m);

/* Of `pass`, a word that stays ("checking"), so much is done. */
void progressing_show(Manager *m, const char *pass, uint64_t done, uint64_t whole);

/* Before anything is said at the terminal. */
void progressing_wipe(Manager *m);

/* MESSAGE_PROGRESS. -EPROTO: nobody who repairs says that. */
int progressing_take(Manager *m, const MessageProgress *p, Err *err);

void progressing_done(Progressing *p);
