/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a view answers when it is asked, in a process of its own and with a time limit: a view whose server is stuck
 * keeps whoever touches it waiting, and that must not be `rawview list`. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum ViewCondition {
        VIEW_SERVING,
        VIEW_STALE,      /* its server is gone: ENOTCONN */
        VIEW_STUCK,      /* no answer within the limit */
        VIEW_UNREADABLE, /* it may be well, but not for this user to see */
} ViewCondition;

typedef struct ViewLook {
        ViewCondition condition;
        uint64_t size;
        mode_t mode; /* without the type */
        char format[64];
        char state[3072]; /* user.rawview.state, "" where it cannot be had */
} ViewLook;

/* Gives an answer always; a view that cannot even be asked counts as unreadable. */
void view_look(const char *path, ViewLook *ret);

/* The same by its name in an open folder, whatever paths lead there by now. */
void view_look_in(int folder, const char *name, ViewLook *ret);

/* "serving", "stale" … as `rawview list` prints it. */
const char *view_condition_name(ViewCondition condition);

/* The supervisor's pid out of `state`, or 0. */
pid_t view_look_pid(const ViewLook *look);
