/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/ready.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "supervisor/log-level.h"
#include "supervisor/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>
#include <unistd.h>

static int ready_write_pid_file(Manager *m, Err *err)
{
        const char *path = m->options->pid_file;

        if (!path)
                return 0;
        int r = pid_file_write(path, m->options->rule, &m->pid_file, err);
        return r < 0 ? err_prefix(err, r, "cannot write the pid file %s", path) : 0;
}

void ready_withdraw(Manager *m)
{
        pid_file_withdraw(&m->pid_file);
}

static int ready_tell_command(Manager *m, Err *err)
{
        _cleanup_close_ int fd = fd_take(&m->waiter);
        if (fd < 0)
                return 0;

        int n = dprintf(fd, "%s\n", m->target.path);
        char node[32];
        for (unsigned i = 0; n >= 0 && loop_holder_get_node(&m->loop, i, node); i++)
                if (access(node, F_OK) == 0)
                        n = dprintf(fd, "%s\n", node);
        if (n < 0)
                return err_set(err, errno, "nobody waits for the view any more: %m");
        return 0;
}

/* From here on the journal is where our lines go, if there is one. log.h recognises it by this variable. */
static void ready_connect_journal(void)
{
        char stream[64];
        struct stat st;

        _cleanup_close_ int fd = sd_journal_stream_fd("rawviewd", LOG_LEVEL_INFO, 1);
        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        dup2(fd, STDERR_FILENO);
}

static int ready_leave_terminal(const Manager *m, Err *err)
{
        /* First, since whoever reads our stderr sees the end of it as the end of all this. */
        if (chdir("/") < 0)
                return err_set(err, errno, "cannot go to /: %m");
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0)
                return err_set(err, errno, "cannot open /dev/null: %m");
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(null, fd) < 0)
                        return err_set(err, errno, "cannot let go of the terminal: %m");
        ready_connect_journal();
        log_open("rawview", log_level_choose(m->options->level, m->config->log_level));
        return 0;
}

int ready_announce(Manager *m, Err *err)
{
        int r = ready_write_pid_file(m, err);
        if (r < 0)
                return r;
        status_ready(m);
        r = ready_tell_command(m, err);
        if (r < 0)
                return r;
        return m->options->background ? ready_leave_terminal(m, err) : 0;
}

void ready_get_unit(char *ret, size_t size)
{
        _cleanup_free_ char *unit = NULL;

        ret[0] = '\0';
        /* A command typed in a terminal runs in a unit, too, but is not its service. */
        if (!getenv("NOTIFY_SOCKET"))
                return;
        if (sd_pid_get_user_unit(0, &unit) >= 0 || sd_pid_get_unit(0, &unit) >= 0)
                snprintf(ret, size, "%s", unit);
}
