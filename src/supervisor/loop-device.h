/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop device of a view with Loop=yes: there before the view is announced, let go of before it ends. What still uses it then
 * is found by loops.h, as for any other. One thread.
 */
#pragma once

#include "supervisor/manager.h"

/* Whether there can be one, before anything is opened. EPERM: we are not root. */
int loop_device_check(const Config *c, bool adopted, Err *err);

/* Attaches it, and waits for udev. Does nothing where none is wanted. */
int loop_device_start(Manager *m, Err *err);

/* What becomes readable when it is lost; -1: nothing will be. */
int loop_device_fd(const Manager *m);

/* Then: the view goes on without it, and says so. Another one would be a second device with the same bytes, as long as the
 * first one is in use somewhere. */
void loop_device_take_end(Manager *m);

/* Lets go of it, and waits until what was written to it has come to the view, `limit_ms` at most. It is gone then, unless it
 * is in use. */
void loop_device_release(Manager *m, int limit_ms);
