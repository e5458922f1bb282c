/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A match of an LZ77 decoder: bytes that came out before come out once more. Plain functions, any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Writes `len` bytes at `to`, each the one `distance` before it: what this call has written counts too. The caller has
 * made sure that `distance` is not 0 and stays within what came out, and that there is room. */
static inline void match_copy(uint8_t *to, size_t distance, size_t len)
{
        const uint8_t *from = to - distance;

        if (distance >= len) {
                memcpy(to, from, len);
                return;
        }
        for (size_t i = 0; i < len; i++)
                to[i] = from[i];
}
