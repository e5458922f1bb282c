/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells the supervisor how far it is, when an image has to be looked at or repaired before it is written to and that takes longer
 * than a moment. The thread that opens the image.
 */
#pragma once

#include "block/listener.h"

#include <stdint.h>

typedef struct RepairTeller {
        int channel;     /* borrowed */
        int64_t said_ms; /* the last word, or when it began */
        uint32_t pass, percent;
} RepairTeller;

void repair_teller_init(RepairTeller *t, int channel);

/* As long as `t` lives. */
Listener repair_teller_listener(RepairTeller *t);
