/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The clean end of a view that is still mounted: flush, unmount, let the worker finish.
 */
#pragma once

#include "supervisor/manager.h"

/* When this returns, the mount and the worker are gone. Fails when something that was written may not be on disk. */
int stop_view(Manager *m, Err *err);
