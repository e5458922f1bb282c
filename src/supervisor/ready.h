/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Telling others that the view is up: pid file, service manager, waiting command; and letting go of the terminal.
 */
#pragma once

#include "supervisor/manager.h"

/* On failure the view is of no use: its starter would wait for what never comes. */
int ready_announce(Manager *m, Err *err);

/* Takes the pid file away again, if it was written. */
void ready_withdraw(Manager *m);

/* The systemd unit that this process is the service of, or "". */
void ready_get_unit(char *ret, size_t size);
