/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The passphrases that a worker asks for while it opens an image: found where they lie, or asked of a person, given once, and
 * forgotten. The worker learns no more than that there is none or that it was wrong; where it came from is for our own
 * sentence. Part of the Manager; one thread.
 */
#pragma once

#include "base/err.h"
#include "broker/broker.h"
#include "ipc/message.h"
#include "supervisor/ask.h"
#include "supervisor/passphrase.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Manager Manager;

typedef struct Unlock {
        unsigned asked[BROKER_LAYERS_MAX]; /* how often, for each layer */
        bool is_given;                     /* some passphrase was */
        bool is_personal;                  /* the last one was of a person */
        bool has_newline;                  /* it came from a file, and ends with one */
        bool gave_up;                      /* a person was asked in vain */
        char from[PASSPHRASE_FROM_MAX];
        /* Why the last one was refused; code 0: none was. */
        int refusal_code;
        Err refusal;
        bool is_asking; /* `ask`, for `layer` */
        uint32_t layer;
        Ask ask;
} Unlock;

/* Takes MESSAGE_SECRET_WANTED, and answers it now or later. -EPROTO, or why the answer could not be sent: the worker is to be
 * ended. */
int unlock_take(Manager *m, const MessageSecretWanted *wanted, Err *err);

/* -1: nobody is being asked. */
int unlock_poll_fd(const Unlock *u);

/* `timeout_ms` (-1: for ever), or less. */
int unlock_limit(const Unlock *u, int timeout_ms);

/* After a poll: takes what was answered, if anybody is asked. Fails as unlock_take. */
int unlock_go_on(Manager *m, bool readable, Err *err);

/* What `err` says of a failure `r` becomes the whole story, if the reason is a passphrase. Returns r. */
int unlock_explain(const Unlock *u, int r, Err *err);

void unlock_done(Unlock *u);
