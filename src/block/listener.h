/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who hears how far something has come that takes long: a check, a repair before an image is written to. It hears of each table
 * or so, and looks at the clock itself. Borrowed by whoever tells it; called by the thread that does the work.
 */
#pragma once

#include <stdint.h>

typedef struct Listener {
        /* `pass` is text that stays, "checking" or "repairing". Of one pass `done` never goes back, and it is `whole` in the
         * end. NULL: nobody listens. */
        void (*hear)(void *arg, const char *pass, uint64_t done, uint64_t whole);
        void *arg;
} Listener;
