/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The log is the one thing that a program has once and for all: the level and the name of the program. */
static struct {
        const char *program;
        LogLevel max;
        bool journal;
        bool kernel;
        int fd;
} log_state = { .program = "rawview", .max = LOG_LEVEL_NOTICE, .fd = STDERR_FILENO };

/* systemd.exec(5): $JOURNAL_STREAM names device and inode of the stream that stderr was connected to. */
static bool log_find_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device = 0, inode = 0;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *program, LogLevel max)
{
        log_state.program = program;
        log_state.max = max;
        log_state.journal = log_find_journal();
}

void log_open_kernel(void)
{
        const char *pid = getenv("SYSTEMD_EXEC_PID");

        if (!pid || strtol(pid, NULL, 10) != getpid())
                return;
        /* In a container it may be a pipe that nobody reads. */
        int fd = open("/dev/kmsg", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return;
        log_state.kernel = true;
        log_state.journal = false;
        log_state.fd = fd;
}

/* Gives the length. */
static int log_put_start(char *line, size_t size, LogLevel level)
{
        if (log_state.journal)
                return snprintf(line, size, "<%d>", (int)level);
        if (log_state.kernel)
                return snprintf(line, size, "<%d>%s[%d]: ", (int)level, log_state.program,
                                getpid());
        return snprintf(line, size, "%s: ", log_state.program);
}

void log_set_max(LogLevel max)
{
        log_state.max = max;
}

bool log_wants(LogLevel level)
{
        return level <= log_state.max;
}

bool log_is_journal(void)
{
        return log_state.journal;
}

void log_line(LogLevel level, const char *fmt, ...)
{
        if (!log_wants(level))
                return;

        int saved = errno;
        char line[2048];
        int start = log_put_start(line, sizeof(line), level);
        va_list args;
        va_start(args, fmt);
        errno = saved;
        int n = vsnprintf(line + start, sizeof(line) - (size_t)start - 1, fmt, args);
        va_end(args);
        if (n < 0)
                line[start] = '\0';
        utf8_make_printable(line + start);

        size_t len = strlen(line);
        line[len++] = '\n';

        /* One write, so that lines of several processes do not mix; there is nobody to tell if it fails. */
        ssize_t ignored = write(log_state.fd, line, len);
        (void)ignored;
        errno = saved;
}
