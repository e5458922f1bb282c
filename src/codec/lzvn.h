/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LZVN, the quicker of Apple's two younger compressions; in a dmg it comes as a block of an LZFSE stream. Plain functions
 * without memory of their own, any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Unpacks into `out`, of which `done` bytes are there already: a match may reach back into them. 0 when there are `len`
 * bytes or the stream has ended: *ret_len says how many there are then. -EIO: broken. */
int lzvn_all(const uint8_t *packed,
             size_t packed_len,
             uint8_t *out,
             size_t done,
             size_t len,
             size_t *ret_len);
