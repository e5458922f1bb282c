/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker/repair-teller.h"

#include "base/clock.h"
#include "ipc/channel.h"

#include <string.h>

enum {
        /* From one word to the next, and before the first one. */
        REPAIR_TELLER_MS = 250,
};

void repair_teller_init(RepairTeller *t, int channel)
{
        *t = (RepairTeller){ .channel = channel, .said_ms = clock_now_ms() };
}

/* Whether the supervisor is gone is seen by whoever wants something of it. */
static void repair_teller_hear(void *arg, const char *pass, uint64_t done, uint64_t whole)
{
        RepairTeller *t = arg;
        Message m = {
                .kind = MESSAGE_PROGRESS,
                .progress.pass = strcmp(pass, "repairing") == 0 ? MESSAGE_PASS_REPAIRING
                                                                : MESSAGE_PASS_CHECKING,
                .progress.percent = (uint32_t)((double)done * 100 / (double)whole),
        };

        if (m.progress.pass == t->pass && m.progress.percent == t->percent)
                return;
        int64_t now = clock_now_ms();
        if (now - t->said_ms < REPAIR_TELLER_MS)
                return;
        t->said_ms = now;
        t->pass = m.progress.pass;
        t->percent = m.progress.percent;
        (void)channel_send(t->channel, &m, -1, NULL);
}

Listener repair_teller_listener(RepairTeller *t)
{
        return (Listener){ repair_teller_hear, t };
}
