/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much the supervisor logs: what its command line asks for, else LogLevel=, else as much as fits where it goes. One
 * thread.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"

/* `asked`: by -v or -q; 0: by neither. Depends on JOURNAL_STREAM in the environment. */
LogLevel log_level_choose(LogLevel asked, ConfigLogLevel configured);
