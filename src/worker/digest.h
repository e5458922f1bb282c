/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SHA-256 of all files of an image (AssertUnchanged=): read once before anything is shown and once when nothing is shown any
 * more. The supervisor hears of each, and of how far it is, and compares. One thread at a time; the stores are borrowed.
 */
#pragma once

#include "base/err.h"
#include "block/node.h"
#include "opener/ipc-opener.h"
#include "view/state.h"

#include <stddef.h>
#include <stdint.h>

typedef struct DigestFile {
        Store *store;
        uint32_t number; /* the broker's */
} DigestFile;

typedef struct Digests {
        DigestFile *files;
        StateDigest *facts; /* as many: what is found is told people, too */
        size_t count;
} Digests;

/* The files of `chain` and of all below it. `name` is what people call the first. */
int digests_list(Digests *d, Node *chain, const IpcOpener *opener, const char *name, Err *err);

/* Reads them all; the kernel is told to forget them again. */
int digests_read(Digests *d, int channel, Err *err);

void digests_done(Digests *d);
