/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens files for a process that looks at an image and can open nothing itself: the image and all that it names, under
 * the rules for such names. A supervisor has one for its worker, the command for its child. A copy of every descriptor
 * that was given out is kept, so that the asker can be replaced; and with it the image lock, which belongs to the open
 * file. Nothing here reads an image, and nothing that the asker says is believed. One thread.
 */
#pragma once

#include "base/err.h"
#include "ipc/message.h"
#include "reference/reference.h"

#include <stdbool.h>
#include <stddef.h>

enum {
        /* A chain has 32 layers at most, but one of them may be in pieces of 2 GiB. With these, a process that may have 1024
         * descriptors open has some left. */
        BROKER_LAYERS_MAX = 900,
        /* Who asks more often is not opening an image any more, but looking for what there is. */
        BROKER_FILES_MAX = 1000,
        BROKER_SECRETS_MAX = 128,
};

typedef struct Layer {
        int fd;
        char *path; /* absolute, symbolic links resolved */
} Layer;

/* Pointers are borrowed, for as long as the Broker lives. */
typedef struct BrokerRules {
        ReferencePolicy policy;
        char *const *allowed; /* see ReferenceRules, and so for: */
        const char *given;
        PathRule path_rule;
        /* Of the image itself; for a service a lower layer that is a user's makes that user the namer of all that is asked
         * for after it. */
        uid_t namer;
        gid_t namers;
        bool has_namer, has_namers, others_see;
        bool writable;         /* the image itself and what belongs to it */
        bool force_share;      /* no locks are taken or tested */
        bool hides_reasons;    /* why something is refused is for broker_explain alone */
        bool tells_links;      /* where a name leads that is a symbolic link is no secret */
        const char *lock_help; /* ends the sentence about a file that is in use */
        /* Told that a file has no locks, once; may be NULL. */
        void (*warn)(const char *path, const char *text);
} BrokerRules;

typedef struct Broker {
        BrokerRules rules;
        Layer layers[BROKER_LAYERS_MAX]; /* 0: the image itself */
        size_t count;
        size_t overlay; /* which layer takes the writes in the place of the image; 0: there is none */
        bool overlay_is_volatile; /* set by who added it: it has no name, and nothing of it is brought to disk */
        unsigned files_asked, secrets_asked;
        int refusal_code; /* why the last refusal was one; 0: there was none */
        Err refusal;
        bool lock_is_warned;
        bool is_for_root; /* something was opened that would have been refused if others saw it */
} Broker;

/* Locks `fd`, the open image, which it takes over on success. EAGAIN: somebody else uses it. */
int broker_init(Broker *b, const BrokerRules *rules, int fd, Err *err);

/* Makes an open file the next layer, one that takes all writes in the image's place: it is locked as a writer's, and names
 * nothing but the image. Takes `fd` on success only; `path` is copied. EAGAIN: somebody else uses it. */
int broker_add_overlay(Broker *b, int fd, const char *path, Err *err);

/* Answers MESSAGE_OPEN: fills `answer` (OPENED or REFUSED); *ret_fd is borrowed, -1 for REFUSED. -EPROTO: no image makes
 * anybody ask like that, and the asker is to be ended; the text says why, and there is no answer. */
int broker_answer(Broker *b, const MessageOpen *ask, Message *answer, int *ret_fd, Err *err);

/* Whether MESSAGE_SECRET_WANTED makes sense: of a layer that the asker has, in a word that may be shown to a person, and not
 * without end. -EPROTO as above. */
int broker_check_secret_wanted(Broker *b, const MessageSecretWanted *ask, Err *err);

/* What the asker says of its failure, with the reason where it failed because of a refusal: that of the last one, which
 * it may not know. Returns the negative code of both. */
int broker_explain(const Broker *b, const MessageError *said, Err *ret);

/* What was written survives a power failure. */
int broker_sync(Broker *b, Err *err);

void broker_done(Broker *b);

#define _cleanup_broker_ __attribute__((cleanup(broker_done)))
