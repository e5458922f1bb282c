/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/spawn.h"

#include "base/cleanup.h"
#include "build-config.h"
#include "ipc/channel.h"
#include "supervisor/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
        /* Where the worker finds its end of the channel. */
        SPAWN_CHANNEL = 3,
        /* How long a killed worker may take to end. */
        SPAWN_END_MS = 10 * 1000,
        /* Of what it wrote to stderr: an assertion that failed, the C library's complaint about memory. */
        SPAWN_WORDS_MAX = 200,
};

#define SPAWN_PROGRAM "rawview-worker"

/* Beside this program, as in the build tree and when installed elsewhere; else where meson installs it. */
static void spawn_find_program(char ret[PATH_MAX])
{
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (n > 0) {
                self[n] = '\0';
                *strrchr(self, '/') = '\0';
                if (snprintf(ret, PATH_MAX, "%s/" SPAWN_PROGRAM, self) < PATH_MAX &&
                    access(ret, X_OK) == 0)
                        return;
        }
        snprintf(ret, PATH_MAX, RAWVIEW_LIBEXECDIR "/" SPAWN_PROGRAM);
}

static void spawn_environment(char *ret[8])
{
        size_t count = 0;

        for (char **e = environ; *e && count < 7; e++)
                for (const char *const *kept = spawn_kept; *kept; kept++)
                        if (strncmp(*e, *kept, strlen(*kept)) == 0)
                                ret[count++] = *e;
        ret[count] = NULL;
}

/* A worker that is taken over could write lines that look like ours, or drive a terminal. */
static void spawn_set_stdio(int words)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0)
                _exit(127);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(words, STDERR_FILENO);
}

/* Without it, memory is made free by writing to the view itself, which waits for us. execve() keeps it, and each thread of a process has
 * it from the one that it was started by. */
static void spawn_set_flusher(void)
{
        (void)prctl(PR_SET_IO_FLUSHER, 1UL, 0UL, 0UL, 0UL);
}

static _Noreturn void spawn_child(const char *program,
                                  char *const environment[],
                                  int channel,
                                  int words)
{
        char *const arguments[] = { (char *)SPAWN_PROGRAM, (char *)"3", NULL };
        sigset_t none;

        /* A group of its own: Ctrl-C on a terminal is for the supervisor, which then ends the view in order. */
        setpgid(0, 0);
        spawn_set_stdio(words);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);

        if (channel == SPAWN_CHANNEL)
                fcntl(channel, F_SETFD, 0);
        else
                dup2(channel, SPAWN_CHANNEL);
        syscall(SYS_close_range, SPAWN_CHANNEL + 1U, ~0U, 0U);
        execve(program, arguments, environment);
        _exit(127);
}

/* Our end of the channel does not block: a worker that never reads must not keep us from hearing signals. */
static int spawn_make_channel(int ends[2], Err *err)
{
        int r = channel_pair(ends, err);
        if (r < 0)
                return r;
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
                return 0;
        r = err_set(err, errno, "cannot change the flags of a socket: %m");
        close(ends[0]);
        close(ends[1]);
        return r;
}

int worker_spawn(bool writable, Worker *ret, Err *err)
{
        char program[PATH_MAX];
        char *environment[8];
        int ends[2], pipe_ends[2];

        spawn_find_program(program);
        spawn_environment(environment);
        if (access(program, X_OK) < 0)
                return err_set(err, errno, "cannot start %s: %m", program);
        int r = spawn_make_channel(ends, err);
        if (r < 0)
                return r;

        _cleanup_close_ int ours = ends[0], theirs = ends[1];
        if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return err_set(err, errno, "cannot make a pipe: %m");

        _cleanup_close_ int heard = pipe_ends[0], said = pipe_ends[1];
        pid_t pid = fork();
        if (pid < 0)
                return err_set(err, errno, "cannot fork: %m");
        if (pid == 0) {
                if (writable)
                        spawn_set_flusher();
                spawn_child(program, environment, theirs, said);
        }

        Worker w = { .pid = pid, .pidfd = -1, .channel = fd_take(&ours), .words = fd_take(&heard) };
        w.pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
        if (w.pidfd < 0) {
                r = err_set(err, errno, "cannot watch the worker: %m");
                worker_done(&w);
                return r;
        }
        *ret = w;
        return 0;
}

/* "": it said nothing. */
static void worker_read_words(const Worker *w, char ret[SPAWN_WORDS_MAX + 8])
{
        char words[SPAWN_WORDS_MAX];
        ssize_t n = w->words < 0 ? -1 : read(w->words, words, sizeof(words) - 1);

        words[n < 0 ? 0 : n] = '\0';
        words[strcspn(words, "\n")] = '\0';
        snprintf(ret, SPAWN_WORDS_MAX + 8, "%s%s", words[0] ? ": " : "", words);
}

int worker_reap(Worker *w, Err *err)
{
        char words[SPAWN_WORDS_MAX + 8];
        int status = 0;
        pid_t pid;

        do
                pid = waitpid(w->pid, &status, 0);
        while (pid < 0 && errno == EINTR);
        w->pid = -1;
        if (pid < 0)
                return err_set(err, ECHILD, "the worker is gone: %m");
        worker_read_words(w, words);
        if (WIFSIGNALED(status))
                return err_set(err, ECHILD, "the worker was ended by signal %d (%s)%s",
                               WTERMSIG(status), strsignal(WTERMSIG(status)), words);
        if (WEXITSTATUS(status) != 0)
                return err_set(err, ECHILD, "the worker ended with status %d%s",
                               WEXITSTATUS(status), words);
        err_set(err, ECHILD, "the worker ended");
        return 0;
}

void worker_kill(Worker *w)
{
        if (w->pid > 0)
                kill(w->pid, SIGKILL);
}

void worker_done(Worker *w)
{
        struct pollfd p = { .fd = w->pidfd, .events = POLLIN };

        worker_kill(w);
        /* One that could not be watched is reaped all the same; it has hardly begun. */
        if (w->pid > 0 && (w->pidfd < 0 || poll(&p, 1, SPAWN_END_MS) > 0))
                (void)worker_reap(w, NULL);
        cleanup_close(&w->pidfd);
        cleanup_close(&w->channel);
        cleanup_close(&w->words);
        *w = WORKER_NONE;
}
