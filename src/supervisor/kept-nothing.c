/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/kept.h"

#include <stddef.h>

const char *const spawn_kept[] = { NULL };
