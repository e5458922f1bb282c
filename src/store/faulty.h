/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Store whose N-th operation fails, for tests only. Several stores may follow one plan: their operations count
 * together, so that "every I/O of an open" is one number. Any thread.
 */
#pragma once

#include "store/store.h"

#include <stdatomic.h>

typedef struct FaultPlan {
        atomic_uint_fast64_t count;   /* operations so far; every call but free counts */
        atomic_uint_fast64_t fail_at; /* 1: the first fails; 0: none, they are only counted */
        int code;                     /* positive errno of the failure */
        bool stays;                   /* all later operations fail as well */
        bool full; /* a full host: only what may take space counts and fails, not reads, syncs, punches */
} FaultPlan;

/* Takes `inner` on success only; `plan` is borrowed and outlives the store. */
int faulty_store_new(Store *inner, FaultPlan *plan, Store **ret);
