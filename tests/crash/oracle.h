/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `qemu-img check` as a second opinion (of a format that it has no check for, that it can be opened), on several images at once: each process has a folder of its own, with the
 * image under test and what it names beside it. One thread.
 */
#pragma once

#include "base/err.h"
#include "disk.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        ORACLE_SLOTS = 2,
        ORACLE_PATH = 512,
        ORACLE_LABEL = 64,
};

typedef struct OracleSlot {
        char folder[ORACLE_PATH];
        char label[ORACLE_LABEL];
        pid_t pid; /* 0: nobody is at work */
} OracleSlot;

typedef struct Oracle {
        const char *format; /* as qemu-img calls it */
        OracleSlot slots[ORACLE_SLOTS];
        size_t asked;
} Oracle;

/* Makes its folders in `folder`, which whoever made that one removes. */
int oracle_init(Oracle *o, const Disk *disk, const char *folder, Err *err);

/* Waits for a free slot, and fails with what qemu-img says if the last image there was not sound. Leaks are. */
int oracle_ask(Oracle *o, Store *image, const char *label, Err *err);

/* The same for all slots. */
int oracle_wait(Oracle *o, Err *err);
