/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A person is asked for a passphrase: on a terminal, or through systemd-ask-password(1) by whatever agent there is (the console
 * at boot, Plymouth, a desktop, `systemd-tty-ask-password-agent`). Nothing here waits: the asker polls, and goes on with its
 * signals meanwhile. An Ask belongs to its starter; one thread.
 */
#pragma once

#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

typedef struct AskQuestion {
        const char *text;    /* one line that is fit to be shown */
        const char *id;      /* for agents */
        int limit_s;         /* no longer than that */
        const char *program; /* in the place of systemd-ask-password; NULL */
} AskQuestion;

typedef struct Ask {
        int fd; /* readable when there is something to take */
        pid_t pid;
        int pidfd; /* of systemd-ask-password; -1: a terminal is asked */
        struct termios before;
        int64_t end_ms;
        int limit_s;
        Secret *heard;
} Ask;

/* Whether `fd` is a terminal on which this process may ask. */
bool ask_may_use_terminal(int fd);

int ask_on_terminal(const AskQuestion *q, int fd, Ask *ret, Err *err);

/* Needs root. */
int ask_agents(const AskQuestion *q, Ask *ret, Err *err);

/* How long a poll may take. */
int ask_left_ms(const Ask *a);

/* Call it when `fd` is readable or the time is over. 1: a->heard holds the passphrase. 0: it goes on. -ENOKEY: there is none, and the
 * text says why: "nobody answered within 90 s". */
int ask_take(Ask *a, bool readable, Err *err);

/* Takes the question back, wherever it stands, and wipes what was heard. */
void ask_done(Ask *a);
