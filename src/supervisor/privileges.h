/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What root's supervisor may do, given up step by step as less of it is still to come; there is no way back. One of an
 * ordinary user has nothing to give up, and needs setuid programs. One thread.
 */
#pragma once

#include "base/err.h"

/* What comes next. */
typedef enum PrivilegeStage {
        PRIVILEGES_STARTING, /* files are opened, the worker is started */
        PRIVILEGES_SPAWNED,  /* the worker is there, and asks for what the image names */
        PRIVILEGES_LOOP, /* all is open but a loop device over the view, which may be another user's */
        PRIVILEGES_SEALED, /* all is open: mounting, looking at the view, ending it */
} PrivilegeStage;

/* `pid_file`: that will be written and removed, or NULL. */
int privileges_reduce(PrivilegeStage stage, const char *pid_file, Err *err);
