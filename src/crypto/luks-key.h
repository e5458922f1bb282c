/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a passphrase to the key of a LUKS container, by way of its key slots. Everything on the way is in memory that is wiped. The
 * thread that opens the image.
 */
#pragma once

#include "base/secret.h"
#include "crypto/luks-header.h"

/* Tries each key slot: the one that fits gives the key to a new cipher, and nobody else gets it. -EKEYREJECTED: none fits. */
int luks_key_unlock(
        const LuksPlace *place, const LuksHeader *h, const Secret *s, SectorCipher **ret, Err *err);
