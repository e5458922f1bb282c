/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks at the view again and again while it is up, as a program would: is it still served, and who uses it? An answer is what
 * the service manager's watchdog is told of; without an answer it hears nothing. One thread; watch_step() calls it.
 */
#pragma once

#include "supervisor/look.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Manager Manager;

enum {
        PULSE_INTERVAL_MS = 60 * 1000,
        /* While it ends. */
        PULSE_ENDING_MS = 1000,
};

typedef struct Pulse {
        bool running;
        bool looking; /* `look` is under way, since began_ms */
        Attempt look;
        LookDepth depth;
        int64_t began_ms, next_ms, interval_ms;
        int64_t watchdog_ms; /* 0: nobody waits for us */
        bool late;           /* it was said that there is no answer */
        LookUse use;
} Pulse;

/* The view is up. Asks the environment whether the service manager wants to hear of it. */
void pulse_begin(Manager *m);

/* From now on the view is asked more often, and not opened: it is about to go. */
void pulse_prepare_end(Manager *m);

/* Nothing more is asked. Accepts one that never began. */
void pulse_end(Manager *m);

/* Readable when a look is done; -1: none is under way. */
int pulse_fd(const Pulse *p);

/* `timeout_ms` (-1: for ever), or less when something is to be done before. */
int pulse_limit(const Pulse *p, int64_t now_ms, int timeout_ms);

/* Takes the answer if there is one, and begins the next look when its time has come. */
void pulse_step(Manager *m, int64_t now_ms);

/* How long the view has been silent: the age of a look that has no answer, 0 without one. */
int64_t pulse_silence_ms(const Pulse *p, int64_t now_ms);

/* It has been silent so long that the watchdog has spoken, or is about to. */
bool pulse_is_overdue(const Pulse *p, int64_t now_ms);
