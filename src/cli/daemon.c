/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/daemon.h"

#include "base/cleanup.h"
#include "base/inherited.h"
#include "base/log.h"
#include "build-config.h"
#include "cli/cli.h"
#include "cli/mount-exit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAEMON_PROGRAM "rawviewd"

enum {
        /* Where rawviewd finds the pipe on which we wait; the second one where the first is taken. */
        DAEMON_READY_FD = 3,
        DAEMON_READY_FD_ELSE = 4,
        DAEMON_EXEC_FAILED = 127,
        DAEMON_NODES_MAX = 8192,
};

static int daemon_append(DaemonCommand *c, char *word)
{
        char **words = reallocarray(c->words, c->count + 2, sizeof(*words));
        if (!words)
                return -ENOMEM;
        words[c->count++] = word;
        words[c->count] = NULL;
        c->words = words;
        return 0;
}

int daemon_add(DaemonCommand *c, const char *fmt, ...)
{
        _cleanup_free_ char *name = NULL, *word = NULL;
        va_list args;

        va_start(args, fmt);
        int n = vasprintf(&word, fmt, args);
        va_end(args);
        if (n < 0)
                word = NULL;
        if (!c->words) {
                name = strdup(DAEMON_PROGRAM);
                if (name && daemon_append(c, name) == 0)
                        name = NULL;
        }
        if (!word || !c->words || daemon_append(c, word) < 0) {
                log_line(LOG_LEVEL_ERROR, "%s", strerror(ENOMEM));
                return CLI_FAILURE;
        }
        word = NULL;
        return CLI_OK;
}

void daemon_command_done(DaemonCommand *c)
{
        for (size_t i = 0; i < c->count; i++)
                free(c->words[i]);
        free(c->words);
        free(c->view);
        *c = (DaemonCommand){ 0 };
}

int daemon_make_absolute(const char *path, char **ret, Err *err)
{
        _cleanup_free_ char *folder = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
        char *absolute = NULL;

        if (!folder)
                return err_set(err, errno, "cannot tell the current folder: %m");
        if (asprintf(&absolute, "%s%s%s", folder, path[0] == '/' ? "" : "/", path) < 0)
                return err_set(err, ENOMEM, "%m");
        *ret = absolute;
        return 0;
}

void daemon_find(char *ret)
{
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (n > 0) {
                self[n] = '\0';
                *strrchr(self, '/') = '\0';
                if (snprintf(ret, PATH_MAX, "%s/" DAEMON_PROGRAM, self) < PATH_MAX &&
                    access(ret, X_OK) == 0)
                        return;
        }
        snprintf(ret, PATH_MAX, RAWVIEW_LIBEXECDIR "/" DAEMON_PROGRAM);
}

/* The system, not the view, is what failed. */
static int daemon_fail(const DaemonCommand *c)
{
        return c->for_mount ? (int)MOUNT_EXIT_SYSTEM : CLI_FAILURE;
}

int daemon_become(DaemonCommand *c)
{
        char program[PATH_MAX];

        daemon_find(program);
        if (c->kept_fd > 0)
                fcntl(c->kept_fd, F_SETFD, 0);
        execv(program, c->words);
        log_line(LOG_LEVEL_ERROR, "cannot run %s: %m", program);
        return daemon_fail(c);
}

static int daemon_ready_fd(const DaemonCommand *c)
{
        return c->kept_fd == DAEMON_READY_FD ? DAEMON_READY_FD_ELSE : DAEMON_READY_FD;
}

/* It gets stderr until the view is up, the pipe, and the connection of a mount that is there already; stdin, if that is a
 * terminal, where it may ask for a passphrase; nothing else of ours. A service manager that we may run under is not told
 * of it. */
static _Noreturn void daemon_child(DaemonCommand *c, int ready, const sigset_t *mask)
{
        int place = daemon_ready_fd(c);

        sigprocmask(SIG_SETMASK, mask, NULL);
        setsid();
        unsetenv("NOTIFY_SOCKET");
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (!isatty(STDIN_FILENO))
                dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (ready != place)
                dup2(ready, place);
        inherited_close_rest(place, c->kept_fd > 0 ? c->kept_fd : -1);
        fcntl(place, F_SETFD, 0);
        daemon_become(c);
        _exit(DAEMON_EXEC_FAILED);
}

/* Prints what came from rawviewd: the path of the view. mount(8) says itself, with -v, what is mounted where. */
static bool daemon_read_answer(DaemonCommand *c, int fd)
{
        /* A path, and maybe the nodes of a loop device. */
        char answer[PATH_MAX + DAEMON_NODES_MAX];
        size_t used = 0;

        while (used < sizeof(answer) - 1) {
                ssize_t n = read(fd, answer + used, sizeof(answer) - 1 - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                used += (size_t)n;
        }
        answer[used] = '\0';
        if (used == 0 || answer[used - 1] != '\n')
                return false;
        if (!c->for_mount)
                fputs(answer, stdout);
        c->view = strndup(answer, strcspn(answer, "\n"));
        return true;
}

/* It has said itself what was wrong, unless it could not. */
static int daemon_judge(const DaemonCommand *c, pid_t pid)
{
        int status = 0;
        pid_t ended;

        do
                ended = waitpid(pid, &status, 0);
        while (ended < 0 && errno == EINTR);
        if (ended == pid && WIFSIGNALED(status))
                log_line(LOG_LEVEL_ERROR, DAEMON_PROGRAM " was ended by signal %d (%s)",
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
        bool exited = ended == pid && WIFEXITED(status);
        if (!c->for_mount)
                return exited && WEXITSTATUS(status) == CLI_USAGE ? CLI_USAGE : CLI_FAILURE;
        if (!exited)
                return MOUNT_EXIT_BUG;
        /* Status 0 without a view: it was told to stop. */
        if (WEXITSTATUS(status) == 0)
                return MOUNT_EXIT_INTERRUPTED;
        return WEXITSTATUS(status) == DAEMON_EXEC_FAILED ? (int)MOUNT_EXIT_SYSTEM
                                                         : WEXITSTATUS(status);
}

/* rawviewd sees that nobody waits any more, and takes the view away again. */
static void daemon_interrupt(int signal)
{
        _exit(MOUNT_EXIT_INTERRUPTED);
}

static void daemon_expect_interrupts(void)
{
        static const int caught[] = { SIGINT, SIGTERM, SIGHUP };

        for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
                signal(caught[i], daemon_interrupt);
}

/* Ctrl-C before the view is up is passed on to rawviewd, which has a session of its own; what it says about that is to stand
 * before the shell's next prompt. A second one ends us. Returns whether there was one. */
static bool daemon_pass_interrupt(int ready,
                                  pid_t pid,
                                  const sigset_t *interrupt,
                                  const sigset_t *mask)
{
        _cleanup_close_ int interrupted = signalfd(-1, interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
        struct pollfd ends[] = { { .fd = ready, .events = POLLIN },
                                 { .fd = interrupted, .events = POLLIN } };

        while (poll(ends, 2, -1) < 0 && errno == EINTR)
                continue;
        struct signalfd_siginfo got;
        bool came = read(interrupted, &got, sizeof(got)) == (ssize_t)sizeof(got);
        if (came)
                kill(pid, SIGTERM);
        sigprocmask(SIG_SETMASK, mask, NULL);
        return came;
}

int daemon_start(DaemonCommand *c)
{
        sigset_t interrupt, mask;
        int ends[2];

        int status = daemon_add(c, "--background");
        if (status == CLI_OK)
                status = daemon_add(c, "--ready-fd=%d", daemon_ready_fd(c));
        if (status != CLI_OK)
                return daemon_fail(c);
        if (pipe2(ends, O_CLOEXEC) < 0) {
                log_line(LOG_LEVEL_ERROR, "cannot make a pipe: %m");
                return daemon_fail(c);
        }

        _cleanup_close_ int ours = ends[0];
        sigemptyset(&interrupt);
        if (!c->for_mount)
                sigaddset(&interrupt, SIGINT);
        sigprocmask(SIG_BLOCK, &interrupt, &mask);
        pid_t pid = fork();
        if (pid == 0)
                daemon_child(c, ends[1], &mask);
        close(ends[1]);
        if (pid < 0) {
                log_line(LOG_LEVEL_ERROR, "cannot fork: %m");
                return daemon_fail(c);
        }
        if (c->for_mount)
                daemon_expect_interrupts();
        if (daemon_pass_interrupt(ours, pid, &interrupt, &mask)) {
                int judged = daemon_judge(c, pid);
                /* The shell, and a script in it, is to see what ended us. */
                raise(SIGINT);
                return judged;
        }
        return daemon_read_answer(c, ours) ? cli_end(CLI_OK) : daemon_judge(c, pid);
}
