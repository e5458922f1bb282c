/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sizes as people write and read them: bytes with K, M, G or T for powers of 1024. Any thread.
 */
#pragma once

#include <stdint.h>

enum {
        SIZE_TEXT_MAX = 24,
};

/* "512", "64K", "1M", "20G", "1T"; small letters do too. -EINVAL: it is no size, -ERANGE: beyond UINT64_MAX. */
int size_parse(const char *text, uint64_t *ret);

/* "512B", "64K", "1.5M", "20G": three digits or so, for tables and status lines. Returns `buf`. */
const char *size_format(uint64_t size, char buf[SIZE_TEXT_MAX]);
