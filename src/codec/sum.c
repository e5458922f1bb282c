/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built without libdeflate. */
#include "codec/sum.h"

#include <zlib.h>

/* The library gives the first sum of all for NULL, whatever came before. */
uint32_t adler32_over(uint32_t sum, const void *bytes, size_t len)
{
        return len > 0 ? (uint32_t)adler32_z(sum, bytes, len) : sum;
}

uint32_t crc32_over(uint32_t sum, const void *bytes, size_t len)
{
        return len > 0 ? (uint32_t)crc32_z(sum, bytes, len) : sum;
}
