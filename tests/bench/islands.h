/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the requests of ./dev bench growth go: to islands that lie `step` bytes apart from the start of the disk on, in
 * an order that jumps about and comes to each of them once in a pass. Their count is a power of two.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
        ISLAND_LEN = 4096,
        /* Odd, so that it shares no factor with the count. */
        ISLAND_STRIDE = 40503,
};

typedef struct Islands {
        uint64_t step, count;
} Islands;

static inline bool islands_are_sound(const Islands *i)
{
        return i->step >= ISLAND_LEN && i->count > 0 && (i->count & (i->count - 1)) == 0;
}

/* Of the request number `n`. */
static inline uint64_t islands_get_offset(const Islands *i, uint64_t n)
{
        return n * ISLAND_STRIDE % i->count * i->step;
}
