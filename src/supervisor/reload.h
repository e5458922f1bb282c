/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIGHUP while the view is up: the descriptor is read again, what can change at once is changed, and what cannot is named.
 * Whatever goes wrong, the view stays as it was, and the service manager hears READY=1 in the end. One thread.
 */
#pragma once

#include "supervisor/manager.h"

void reload_run(Manager *m);
