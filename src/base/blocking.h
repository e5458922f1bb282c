/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that is about to wait for a disk says so, and whoever gave it its work can let another thread take the next
 * piece. Each thread for itself.
 */
#pragma once

#include <stdbool.h>

typedef void (*BlockingBegin)(void *arg);

/* From now on `begin` is told before this thread waits. NULL: nobody is. */
void blocking_watch(BlockingBegin begin, void *arg);

/* Is it worth the while to find out whether there will be a wait? */
bool blocking_is_watched(void);

/* There may be a wait now. Takes no lock that a floor above `base` has, and does not wait. */
void blocking_begin(void);
