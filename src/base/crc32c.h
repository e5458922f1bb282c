/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli), the checksum of VHDX. Needs no lock and keeps nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The checksum of `len` bytes that follow those whose checksum is `crc`; 0 where nothing comes before. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
