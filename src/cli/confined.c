/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/confined.h"

#include "base/barrier.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cli.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

int confined_enter(const char *file, const SandboxOptions *options, Err *err)
{
        char text[BARRIER_TEXT_MAX];
        SandboxReport report;

        int r = sandbox_enter(options, &report, err);
        if (r < 0)
                return r;
        log_line(LOG_LEVEL_DEBUG, "%s: around the process that reads it: %s", file,
                 barrier_list(report.applied, text));
        if (report.lacking != 0)
                log_line(LOG_LEVEL_DEBUG, "%s: the kernel does not have for it: %s", file,
                         barrier_list(report.lacking, text));
        return 0;
}

static _Noreturn void confined_child(const ConfinedTask *task, int channel, pid_t parent)
{
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        /* Nothing is to be read there, least of all from a terminal. */
        if (null >= 0)
                dup2(null, STDIN_FILENO);
        exit(task->run(task->arg, channel, parent));
}

/* Nobody is asked for a passphrase: what a command says of an image, it says without. */
static int confined_refuse_secret(Broker *broker,
                                  const MessageSecretWanted *ask,
                                  Message *answer,
                                  Err *err)
{
        int r = broker_check_secret_wanted(broker, ask, err);
        if (r < 0)
                return r;
        *answer = (Message){ .kind = MESSAGE_REFUSED, .error.code = ENOKEY };
        strcpy(answer->error.text,
               "a passphrase is needed, and this command takes none; `rawview mount` does");
        return 0;
}

/* Until the child closes its end. -EPROTO: it says what nobody says who opens an image. */
static int confined_serve(Broker *broker, int channel, Err *err)
{
        for (;;) {
                Message ask, answer;
                int fd = -1;

                int r = channel_receive(channel, &ask, NULL, err);
                if (r <= 0)
                        return r;
                if (ask.kind == MESSAGE_SECRET_WANTED)
                        r = confined_refuse_secret(broker, &ask.secret_wanted, &answer, err);
                else if (ask.kind == MESSAGE_OPEN)
                        r = broker_answer(broker, &ask.open, &answer, &fd, err);
                else
                        r = err_set(err, EPROTO, "a message at the wrong time");
                if (r < 0)
                        return r;
                /* A child that is gone asks no more, which is seen next. */
                r = channel_send(channel, &answer, fd, err);
                if (r < 0 && r != -EPIPE)
                        return r;
        }
}

static int confined_wait(pid_t pid, int *ret, Err *err)
{
        pid_t ended;

        do
                ended = waitpid(pid, ret, 0);
        while (ended < 0 && errno == EINTR);
        return ended < 0 ? err_set(err, errno, "the confined process is gone: %m") : 0;
}

/* What ends a program that is not wanted any more ends this one, too, as if there were no child. Returns only for another signal,
 * false, or where that signal is held back and still to come. */
static bool confined_share_end(int signal_number)
{
        static const int shared[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };

        for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
                if (shared[i] == signal_number) {
                        signal(signal_number, SIG_DFL);
                        raise(signal_number);
                        return true;
                }
        return false;
}

static int confined_judge(const char *file, int status)
{
        Err err;

        if (!WIFSIGNALED(status))
                return WEXITSTATUS(status);
        if (confined_share_end(WTERMSIG(status)))
                return CLI_FAILURE;
        if (WTERMSIG(status) == SIGALRM)
                err_set(&err, ETIMEDOUT,
                        "the confined process did not come to an end in the time that it has");
        else
                err_set(&err, ECHILD, "the confined process was ended by signal %d (%s)",
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
        return cli_fail(file, &err);
}

/* Serves the child and waits for its end, which it brings about when the child breaks the rules. */
static int confined_attend(const ConfinedTask *task, int channel, pid_t pid)
{
        Err why = { "" }, err = { "" };
        int status = 0;

        int served = confined_serve(task->broker, channel, &why);
        if (served < 0)
                kill(pid, SIGKILL);
        if (confined_wait(pid, &status, &err) < 0)
                return cli_fail(task->file, &err);
        if (served >= 0)
                return confined_judge(task->file, status);
        err_set(&err, EPROTO, "the confined process broke the rules (%s) and was ended", why.text);
        return cli_fail(task->file, &err);
}

int confined_run(const ConfinedTask *task)
{
        pid_t parent = getpid();
        int ends[2];
        Err err;

        if (channel_pair(ends, &err) < 0)
                return cli_fail(task->file, &err);
        _cleanup_close_ int ours = ends[0];
        /* Were it ignored, as some starters leave it, nobody could tell how the child has ended. */
        signal(SIGCHLD, SIG_DFL);
        /* Or both would write what is waiting in there. */
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
                confined_child(task, ends[1], parent);
        close(ends[1]);
        if (pid < 0) {
                err_set(&err, errno, "cannot fork: %m");
                return cli_fail(task->file, &err);
        }
        if (task->attend)
                task->attend(task->arg);
        return confined_attend(task, ours, pid);
}
