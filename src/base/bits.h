/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arithmetic on offsets and lengths that may have been chosen by somebody hostile.
 * Everything is uint64_t bytes unless its name says otherwise. `unit` is a power of two where that is said.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

/* Do `len` bytes at `off` lie within the first `size` bytes? Never overflows. */
static inline bool in_range(uint64_t off, uint64_t len, uint64_t size)
{
        return off <= size && len <= size - off;
}

static inline bool is_power_of_two(uint64_t x)
{
        return x != 0 && (x & (x - 1)) == 0;
}

/* `unit` is a power of two. */
static inline bool is_aligned(uint64_t x, uint64_t unit)
{
        return (x & (unit - 1)) == 0;
}

/* `unit` is a power of two. */
static inline uint64_t round_down(uint64_t x, uint64_t unit)
{
        return x & ~(unit - 1);
}

/* `unit` is a power of two; the result must be representable: x <= UINT64_MAX - unit + 1. */
static inline uint64_t round_up(uint64_t x, uint64_t unit)
{
        return round_down(x + unit - 1, unit);
}

/* The multiple of `unit`, any number but 0, at or before x. */
static inline uint64_t multiple_down(uint64_t x, uint64_t unit)
{
        return x - x % unit;
}

/* The multiple of `unit`, any number but 0, at or behind x; it must be representable. */
static inline uint64_t multiple_up(uint64_t x, uint64_t unit)
{
        return multiple_down(x + unit - 1, unit);
}

/* `unit` is any number but 0. Never overflows. */
static inline uint64_t div_round_up(uint64_t x, uint64_t unit)
{
        return x / unit + (x % unit != 0);
}
