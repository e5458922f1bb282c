/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a service that was killed leaves behind: a mount whose server is gone. Such a view never comes to life again, and who
 * touches it gets errors. One that is served is never touched, whoever serves it. One thread.
 */
#pragma once

#include "base/safe-path.h"

/* Unmounts the dead views over `mount_point`; NULL: it is not known any more, and then all dead ones that this user has
 * mounted. A server that is just ending gets a moment for it. Logs what it does; returns how many were unmounted. */
int leftover_clean(const char *mount_point, PathRule rule);
