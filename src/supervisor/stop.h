/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a view. The clean one: flush, unmount, let the worker finish; and the other one. Every wait for the worker has
 * a limit, since it may be a guest's by now; who asks twice for the end does not wait at all.
 */
#pragma once

#include "supervisor/manager.h"

/* When this returns, the mount and the worker are gone. Fails when something that was written may not be on disk. */
int stop_view(Manager *m, Err *err);

/* Kills the worker, and ends the connection for all who wait for an answer, it may be one of them. What covers the
 * target is left to the caller. */
void stop_by_force(Manager *m);
