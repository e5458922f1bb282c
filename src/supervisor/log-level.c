/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/log-level.h"

#include <stdlib.h>

LogLevel log_level_choose(LogLevel asked, ConfigLogLevel configured)
{
        if (asked)
                return asked;
        switch (configured) {
        case CONFIG_LOG_ERROR:
                return LOG_LEVEL_ERROR;
        case CONFIG_LOG_WARNING:
                return LOG_LEVEL_WARNING;
        case CONFIG_LOG_NOTICE:
                return LOG_LEVEL_NOTICE;
        case CONFIG_LOG_INFO:
                return LOG_LEVEL_INFO;
        case CONFIG_LOG_DEBUG:
                return LOG_LEVEL_DEBUG;
        case CONFIG_LOG_AUTO:
                break;
        }
        return getenv("JOURNAL_STREAM") ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE;
}
