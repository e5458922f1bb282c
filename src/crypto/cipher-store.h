/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store that shows another one decrypted, at the same positions, and encrypts what is written. Sectors are numbered from a
 * place on; what lies before it is out of bounds. Any thread.
 *
 * What was never written decrypts to noise, holes of the file too: so everything is data, nothing can be punched, and zeroing
 * writes encrypted zeroes. It has no end: reading past that of the file decrypts zeroes, writing there makes the file longer.
 */
#pragma once

#include "crypto/sector-cipher.h"
#include "store/store.h"

typedef struct CipherStoreOptions {
        Store *inner;         /* borrowed, outlives this one */
        SectorCipher *cipher; /* owned on success */
        uint64_t origin;      /* where in `inner` the sector with the number `first` lies */
        uint64_t first;       /* in units of 512 bytes, whatever the sector size */
} CipherStoreOptions;

/* -ENOMEM is all that can fail. */
int cipher_store_new(const CipherStoreOptions *options, Store **ret);
