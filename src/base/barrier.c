/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/barrier.h"

#include <stdio.h>

const char *barrier_name(Barrier barrier)
{
        static const char *const names[BARRIER_COUNT] = {
                [BARRIER_DESCRIPTORS] = "descriptors",
                [BARRIER_NETWORK] = "network-namespace",
                [BARRIER_LIMITS] = "limits",
                [BARRIER_CAPABILITIES] = "capabilities",
                [BARRIER_USER] = "user",
                [BARRIER_DUMP] = "no-dump",
                [BARRIER_PRIVILEGES] = "no-new-privs",
                [BARRIER_LANDLOCK] = "landlock",
                [BARRIER_SECCOMP] = "seccomp",
        };
        return names[barrier];
}

const char *barrier_list(uint32_t mask, char text[BARRIER_TEXT_MAX])
{
        size_t len = 0;

        snprintf(text, BARRIER_TEXT_MAX, "nothing");
        for (unsigned b = 0; b < BARRIER_COUNT; b++)
                if (mask & BARRIER_BIT(b) && len < BARRIER_TEXT_MAX)
                        len += (size_t)snprintf(text + len, BARRIER_TEXT_MAX - len, "%s%s",
                                                len ? ", " : "", barrier_name(b));
        return text;
}
