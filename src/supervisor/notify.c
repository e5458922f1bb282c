/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/notify.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

void notify_status(const char *statements, const char *fmt, ...)
{
        char text[1024];
        va_list args;

        va_start(args, fmt);
        int n = vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        if (n < 0)
                return;
        utf8_make_printable(text);
        sd_notifyf(0, "%s%sSTATUS=%s", statements, *statements ? "\n" : "", text);
}

void notify_ask_for_time(int limit_ms)
{
        sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%lld", (long long)limit_ms * 1000);
}

void notify_failure(int code, const char *text)
{
        char statement[32];

        snprintf(statement, sizeof(statement), "ERRNO=%d", code);
        notify_status(statement, "%s", text);
}
