/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop device that a view's service has attached to it (Loop=yes), which has the view open and would keep it from being
 * unmounted. One thread.
 */
#pragma once

#include "base/err.h"
#include "base/mountinfo.h"

/* Has the service let go of it. 1: it was there, and whoever else has only looked at it may still do for a moment. 0: there is
 * none. EBUSY: it is in use, and stays. */
int loop_of_view_release(const MountEntry *view, int limit_ms, Err *err);
