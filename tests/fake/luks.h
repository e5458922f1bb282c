/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A LUKS1 header with one key slot that FAKE_PASSPHRASE opens at little cost, aes-xts-plain64 with a key of 32 bytes. Made with the
 * functions that are to be tested, so only good for what lies above them: mkluks.py makes headers of its own. Any thread.
 */
#pragma once

#include "crypto/sector-cipher.h"

#include <stdint.h>

enum {
        FAKE_LUKS_KEY = 32,
        FAKE_LUKS_MATERIAL = 4096,
        FAKE_LUKS_PAYLOAD = FAKE_LUKS_MATERIAL + 4000 * FAKE_LUKS_KEY,
};
_Static_assert(FAKE_LUKS_PAYLOAD % 512 == 0, "whole sectors");

/* Fills FAKE_LUKS_PAYLOAD bytes, which are zeroes. */
int fake_luks_header(uint8_t *image);

/* The cipher that such a header gives. */
int fake_luks_cipher(SectorCipher **ret);
