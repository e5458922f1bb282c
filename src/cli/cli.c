/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int cli_fail(const char *file, const Err *err)
{
        log_line(LOG_LEVEL_ERROR, "%s: %s", file, err->text);
        return CLI_FAILURE;
}

int cli_see_help(const char *verb)
{
        fprintf(stderr, "Try 'rawview %s%s--help'.\n", verb ? verb : "", verb ? " " : "");
        return CLI_USAGE;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
        char text[512];
        va_list args;

        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        log_line(LOG_LEVEL_ERROR, "%s", text);
        return cli_see_help(verb);
}

int cli_end(int status)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        log_line(LOG_LEVEL_ERROR, "standard output: %m");
        return CLI_FAILURE;
}
