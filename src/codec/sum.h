/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checksums as zlib has them, faster where rawview was built with libdeflate. Any thread, nothing kept.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Goes on with `len` bytes where `sum` has ended; a sum begins with 1. */
uint32_t adler32_over(uint32_t sum, const void *bytes, size_t len);

/* The same, beginning with 0. */
uint32_t crc32_over(uint32_t sum, const void *bytes, size_t len);
