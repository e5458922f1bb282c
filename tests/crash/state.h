/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The questions that are asked of what a power failure has left, apart from those for qemu-img: is it sound, does it
 * show what it may, can one go on with it. One thread.
 */
#pragma once

#include "base/err.h"
#include "disk.h"
#include "story.h"

#include <stddef.h>
#include <stdint.h>

typedef struct State {
        const Disk *disk;   /* borrowed */
        const Story *story; /* borrowed */
        Files files;        /* owned: what was left */
        size_t count;       /* of the operations that had been done */
        uint8_t *bytes;     /* owned: what the disk shows; after state_check_read */
        uint64_t size;
} State;

/* Opens read-only and compares with the story. */
int state_check_read(State *s, Err *err);

/* No corruption in the image; leaks are not. A format that cannot be checked has none. */
int state_check_sound(State *s, Err *err);

/* What the header promises to other readers is true: bitmaps that are said to be valid, a data file that is said to
 * be the disk. */
int state_check_promises(State *s, Err *err);

/* Opens the image writable, writes here and there, and finds it sound and as it should be. What it has become then
 * is left in s->files. */
int state_check_goes_on(State *s, uint32_t seed, Err *err);

/* Of all files; equal states have equal numbers. */
uint64_t state_hash(const State *s);

void state_done(State *s);

#define _cleanup_state_ __attribute__((cleanup(state_done)))
