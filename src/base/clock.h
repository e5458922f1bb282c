/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time that goes on whatever is done to the date. Any thread.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* Milliseconds since some moment before the process. */
static inline int64_t clock_now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
