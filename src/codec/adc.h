/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ADC, Apple Data Compression: the oldest of the ways in which the chunks of a dmg are packed. Plain functions without
 * memory of their own, any thread.
 */
#pragma once

#include <stddef.h>

/* Unpacks into `buf`. 0 when `len` bytes came out or the input ended: *ret_len says how many came out. -EIO: broken. */
int adc_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len);
