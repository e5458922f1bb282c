/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a view answers when it is asked, in a process of its own and with a time limit: a view whose server is stuck
 * keeps whoever touches it waiting, and that must not be `rawview list`. One thread.
 */
#pragma once

#include "base/mountinfo.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum ViewCondition {
        VIEW_SERVING,
        VIEW_STALE,      /* its server is gone: ENOTCONN */
        VIEW_STUCK,      /* no answer within the limit */
        VIEW_HIDDEN,     /* something else covers it, or its path leads elsewhere by now */
        VIEW_UNREADABLE, /* it may be well, but not for this user to see */
} ViewCondition;

typedef struct ViewLook {
        ViewCondition condition;
        uint64_t size;
        mode_t mode; /* without the type */
        char format[64];
        char state[3072]; /* user.rawview.state, "" where it cannot be had */
} ViewLook;

/* The children of looks that the kernel has not let go, for who looks again and again: as long as one is there, its view
 * is stuck, and gets no second one. */
typedef struct StuckLooks {
        struct StuckLook *list;
        size_t count;
} StuckLooks;

/* Gives an answer always; a view that cannot even be asked counts as unreadable. In an open folder, whatever paths lead
 * there by now; -1: `name` is a path. */
void view_look_in(int folder, const char *name, ViewLook *ret);

/* Looks at many at once, which takes no longer than one look, however many are stuck. Root looks at what a user has mounted
 * as that user: nobody else may. `rets` has an entry for each; `stuck` may be NULL. */
void view_look_all(const MountEntry *const *views, size_t count, StuckLooks *stuck, ViewLook *rets);

void stuck_looks_done(StuckLooks *stuck);

/* "serving", "stale" … as `rawview list` prints it. */
const char *view_condition_name(ViewCondition condition);

/* The supervisor's pid out of `state`, or 0. */
pid_t view_look_pid(const ViewLook *look);
