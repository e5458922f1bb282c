/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/kept.h"

#include <stddef.h>

const char *const spawn_kept[] = { "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=",
                                   "LSAN_OPTIONS=", NULL };
