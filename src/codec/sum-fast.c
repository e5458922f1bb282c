/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/sum.h"

#include <libdeflate.h>

/* The library gives the first sum of all for NULL, whatever came before. */
uint32_t adler32_over(uint32_t sum, const void *bytes, size_t len)
{
        return len > 0 ? libdeflate_adler32(sum, bytes, len) : sum;
}

uint32_t crc32_over(uint32_t sum, const void *bytes, size_t len)
{
        return len > 0 ? libdeflate_crc32(sum, bytes, len) : sum;
}
