/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far something that takes long has come, on stderr: at a terminal one line that is drawn again and is gone at the end,
 * elsewhere, where it was asked for, a line for each percent. Made before the sandbox is entered, used in it. One thread in
 * each process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ProgressWish {
        PROGRESS_AUTO, /* at a terminal, when it takes longer than a moment */
        PROGRESS_FORCED,
        PROGRESS_NONE,
} ProgressWish;

typedef struct Progress {
        bool is_on, is_forced;
        size_t width;     /* columns of the terminal; 0: it is none */
        char *name;       /* owned: of what it is about, printable */
        int64_t shown_ms; /* when it was drawn last, or began */
        bool is_drawn;    /* there is a line to be wiped */
        const char *pass;
        unsigned percent; /* shown last of the pass */
} Progress;

void progress_init(Progress *p, ProgressWish wish, const char *name);

/* For a process that only waits for the one that shows: what ends it wipes the line. */
void progress_watch_signals(const Progress *p);

/* Cheap. `pass` is text that stays, "checking". `whole` 0: nobody knows how far it is. */
void progress_show(Progress *p, const char *pass, uint64_t done, uint64_t whole);

/* Before anything else is printed, and at the end. */
void progress_wipe(Progress *p);

void progress_done(Progress *p);
