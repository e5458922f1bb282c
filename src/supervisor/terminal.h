/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The terminal that a process was started in, of which SIGHUP tells when it goes away. Any thread.
 */
#pragma once

#include <stdbool.h>

/* There is a controlling terminal, and it has not been hung up. */
bool terminal_is_there(void);
