/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/ask.h"

#include "base/cleanup.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        /* The program ends by itself when its time is over, and takes its question back. */
        ASK_MARGIN_MS = 5 * 1000,
        ASK_END_MS = 1000,
        ASK_MISSING = 127,
};

#define ASK_PROGRAM "/usr/bin/systemd-ask-password"

/* One that belongs to us and would stop us, because another job is in the foreground, is none. */
bool ask_may_use_terminal(int fd)
{
        if (!isatty(fd))
                return false;
        pid_t foreground = tcgetpgrp(fd);
        return foreground < 0 || foreground == getpgrp();
}

static int ask_begin(const AskQuestion *q, Ask *a, Err *err)
{
        *a = (Ask){ .fd = -1, .pid = -1, .pidfd = -1, .limit_s = q->limit_s };
        a->end_ms = watch_now_ms() + (int64_t)q->limit_s * 1000;
        a->heard = secret_new();
        return a->heard ? 0 : err_set(err, ENOMEM, "%m");
}

int ask_on_terminal(const AskQuestion *q, int fd, Ask *ret, Err *err)
{
        struct termios silent;
        Ask a;

        int r = ask_begin(q, &a, err);
        if (r < 0)
                return r;
        a.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (a.fd < 0 || tcgetattr(a.fd, &a.before) < 0) {
                r = err_set(err, errno, "cannot ask on the terminal: %m");
                cleanup_close(&a.fd);
                a.heard = secret_free(a.heard);
                return r;
        }
        silent = a.before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        silent.c_lflag |= ICANON | ECHONL;
        silent.c_iflag |= ICRNL;
        /* What was typed before the question is no answer to it. A terminal may have been given for reading alone. */
        if (tcsetattr(a.fd, TCSAFLUSH, &silent) < 0 ||
            (dprintf(a.fd, "%s ", q->text) < 0 && dprintf(STDERR_FILENO, "%s ", q->text) < 0)) {
                r = err_set(err, errno, "cannot ask on the terminal: %m");
                ask_done(&a);
                return r;
        }
        *ret = a;
        return 0;
}

/* It gets nothing of our environment, and no terminal: who sits there is not meant. */
static _Noreturn void ask_child(const char *program, char *const arguments[], int out, pid_t parent)
{
        static char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                             (char *)"LC_ALL=C", NULL };
        sigset_t none;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        /* What it put up for agents to see is taken down when it ends by SIGTERM. */
        prctl(PR_SET_PDEATHSIG, (unsigned long)SIGTERM, 0UL, 0UL, 0UL);
        if (null < 0 || getppid() != parent)
                _exit(1);
        dup2(null, STDIN_FILENO);
        dup2(null, STDERR_FILENO);
        dup2(out, STDOUT_FILENO);
        syscall(SYS_close_range, 3U, ~0U, 0U);
        execve(program, arguments, environment);
        _exit(ASK_MISSING);
}

static int ask_start_program(const AskQuestion *q, Ask *a, Err *err)
{
        const char *program = q->program ? q->program : ASK_PROGRAM;
        char id[256], limit[32];
        char *const arguments[] = { (char *)"systemd-ask-password",
                                    (char *)"--no-tty",
                                    (char *)"--icon=drive-harddisk",
                                    id,
                                    limit,
                                    (char *)"--",
                                    (char *)q->text,
                                    NULL };
        pid_t parent = getpid();
        int ends[2];

        snprintf(id, sizeof(id), "--id=%s", q->id);
        snprintf(limit, sizeof(limit), "--timeout=%d", q->limit_s);
        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_set(err, errno, "cannot make a pipe: %m");
        a->fd = ends[0];
        a->pid = fork();
        if (a->pid == 0)
                ask_child(program, arguments, ends[1], parent);
        close(ends[1]);
        if (a->pid < 0)
                return err_set(err, errno, "cannot fork: %m");
        a->pidfd = (int)syscall(SYS_pidfd_open, a->pid, 0U);
        return a->pidfd < 0 ? err_set(err, errno, "cannot watch a process: %m") : 0;
}

int ask_agents(const AskQuestion *q, Ask *ret, Err *err)
{
        Ask a;

        int r = ask_begin(q, &a, err);
        if (r < 0)
                return r;
        a.end_ms += ASK_MARGIN_MS;
        r = ask_start_program(q, &a, err);
        if (r < 0) {
                ask_done(&a);
                return r;
        }
        *ret = a;
        return 0;
}

int ask_left_ms(const Ask *a)
{
        int64_t left = a->end_ms - watch_now_ms();
        return left < 0 ? 0 : (int)left;
}

static int ask_refuse_late(const Ask *a, Err *err)
{
        return err_set(err, ENOKEY, "nobody answered within %d s", a->limit_s);
}

/* How the program ended, which has closed its output. */
static int ask_judge(Ask *a, Err *err)
{
        /* Its own time, as it stood in its arguments, has run out when less than the margin is left of ours. */
        bool late = ask_left_ms(a) <= ASK_MARGIN_MS;
        int status = 0;
        pid_t ended;

        do
                ended = waitpid(a->pid, &status, 0);
        while (ended < 0 && errno == EINTR);
        a->pid = -1;
        if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 1;
        if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == ASK_MISSING)
                return err_set(err, ENOKEY, ASK_PROGRAM " cannot be run");
        return late ? ask_refuse_late(a, err)
                    : err_set(err, ENOKEY, "systemd-ask-password got no answer");
}

/* 1: this is all. */
static int ask_read(Ask *a, Err *err)
{
        Secret *s = a->heard;
        uint8_t more = 0;
        size_t room = SECRET_MAX - s->len;

        ssize_t n = read(a->fd, room > 0 ? s->bytes + s->len : &more, room > 0 ? room : 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (n < 0)
                return err_set(err, ENOKEY, "the question was cut off");
        if (n > 0 && room == 0)
                return err_set(err, ENOKEY, "the answer has more than %d bytes", SECRET_MAX);
        s->len += (size_t)n;
        if (a->pidfd < 0)
                return n == 0 || secret_ends_with_newline(s);
        return n == 0 ? ask_judge(a, err) : 0;
}

int ask_take(Ask *a, bool readable, Err *err)
{
        if (!readable)
                return ask_left_ms(a) > 0 ? 0 : ask_refuse_late(a, err);
        int r = ask_read(a, err);
        if (r <= 0)
                return r;
        if (secret_ends_with_newline(a->heard))
                a->heard->bytes[--a->heard->len] = 0;
        return a->heard->len > 0 ? 1 : err_set(err, ENOKEY, "the answer was empty");
}

static void ask_end_program(Ask *a)
{
        struct pollfd p = { .fd = a->pidfd, .events = POLLIN };

        kill(a->pid, SIGTERM);
        if (a->pidfd < 0 || poll(&p, 1, ASK_END_MS) <= 0)
                kill(a->pid, SIGKILL);
        while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

void ask_done(Ask *a)
{
        if (a->pid > 0)
                ask_end_program(a);
        /* What was typed and not taken is for nobody else. */
        else if (a->pidfd < 0 && a->fd >= 0)
                tcsetattr(a->fd, TCSAFLUSH, &a->before);
        cleanup_close(&a->pidfd);
        cleanup_close(&a->fd);
        a->heard = secret_free(a->heard);
        *a = (Ask){ .fd = -1, .pid = -1, .pidfd = -1 };
}
