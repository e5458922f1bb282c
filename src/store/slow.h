/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store that takes its time, for tests only: each read, write and sync waits a small random while before and
 * after, so that threads meet where they otherwise hardly ever do. Any thread.
 */
#pragma once

#include "store/store.h"

/* Takes `inner` on success only. Waits are between 0 and `max_usec` microseconds. */
int slow_store_new(Store *inner, unsigned max_usec, Store **ret);
