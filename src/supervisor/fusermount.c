/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/fusermount.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
        /* The child's ends of its stderr and of the socket that brings the descriptor. */
        FUSERMOUNT_SOCKET = 3,
        FUSERMOUNT_TEXT_MAX = 512,
        /* execvp failed. */
        FUSERMOUNT_MISSING = 127,
};

#define FUSERMOUNT_PROGRAM "fusermount3"

/* It is set-uid and found where its caller's PATH leads, with no other rights than the caller's. It gets nothing else of
 * the caller's environment: what it says is read in English. (A descriptor that is not there does no harm to an unmount.) */
static char *const fusermount_environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                                (char *)"LC_ALL=C", (char *)"_FUSE_COMMFD=3",
                                                NULL };

static _Noreturn void fusermount_child(char *const arguments[], int socket, int errors)
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);

        int socket_aside = socket < 0 ? -1 : fcntl(socket, F_DUPFD, 16);
        dup2(errors, STDERR_FILENO);
        if (socket_aside >= 0)
                dup2(socket_aside, FUSERMOUNT_SOCKET);
        syscall(SYS_close_range, FUSERMOUNT_SOCKET + (socket_aside >= 0 ? 1U : 0U), ~0U, 0U);
        execvpe(FUSERMOUNT_PROGRAM, arguments, fusermount_environment);
        _exit(FUSERMOUNT_MISSING);
}

/* All that it says; only the last line is kept, without its own name. */
static void fusermount_read_errors(int fd, char ret[FUSERMOUNT_TEXT_MAX])
{
        char text[FUSERMOUNT_TEXT_MAX];
        size_t used = 0;

        for (;;) {
                ssize_t n = read(fd, text + used, sizeof(text) - 1 - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                used += (size_t)n;
                /* Too much of it: go on with what comes last. */
                if (used == sizeof(text) - 1)
                        used = 0;
        }
        while (used > 0 && text[used - 1] == '\n')
                used--;
        text[used] = '\0';

        const char *line = strrchr(text, '\n');
        line = line ? line + 1 : text;
        if (strncmp(line, FUSERMOUNT_PROGRAM ": ", strlen(FUSERMOUNT_PROGRAM ": ")) == 0)
                line += strlen(FUSERMOUNT_PROGRAM ": ");
        snprintf(ret, FUSERMOUNT_TEXT_MAX, "%s", line);
}

static int fusermount_judge(int status, const char *said, Err *err)
{
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == FUSERMOUNT_MISSING)
                return err_set(err, ENOENT,
                               FUSERMOUNT_PROGRAM " cannot be run; mounting without being root "
                                                  "needs it (package fuse3)");
        /* What the kernel says of a set-uid program that is none here. */
        const char *why = "";
        if (strstr(said, "Operation not permitted") && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
                why = " (no_new_privs is set, by NoNewPrivileges= or a directive that implies it, "
                      "and " FUSERMOUNT_PROGRAM " cannot be set-uid)";
        return err_set(err, EPERM, FUSERMOUNT_PROGRAM ": %s%s", said[0] ? said : "failed silently",
                       why);
}

/* Runs it to its end. `socket` is its end of a socket, or -1. */
static int fusermount_run(char *const arguments[], int socket, Err *err)
{
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_set(err, errno, "cannot make a pipe: %m");

        _cleanup_close_ int ours = ends[0];
        pid_t pid = fork();
        if (pid == 0)
                fusermount_child(arguments, socket, ends[1]);
        close(ends[1]);
        if (pid < 0)
                return err_set(err, errno, "cannot fork: %m");

        char said[FUSERMOUNT_TEXT_MAX];
        int status = 0;
        pid_t ended;
        fusermount_read_errors(ours, said);
        do
                ended = waitpid(pid, &status, 0);
        while (ended < 0 && errno == EINTR);
        if (ended < 0)
                return err_set(err, errno, "cannot wait for " FUSERMOUNT_PROGRAM ": %m");
        return fusermount_judge(status, said, err);
}

/* One byte with a descriptor beside it. */
static int fusermount_receive(int socket, int *ret, Err *err)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr packet = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };

        ssize_t n = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&packet) : NULL;
        if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                return err_set(err, EPROTO, FUSERMOUNT_PROGRAM " gave no descriptor");
        memcpy(ret, CMSG_DATA(c), sizeof(int));
        return 0;
}

int fusermount_mount(const char *target, const char *options, int *ret_fd, Err *err)
{
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return err_set(err, errno, "cannot make a socket pair: %m");

        _cleanup_close_ int ours = ends[0], theirs = ends[1];
        char *const arguments[] = { (char *)FUSERMOUNT_PROGRAM,
                                    (char *)"-o",
                                    (char *)options,
                                    (char *)"--",
                                    (char *)target,
                                    NULL };
        int r = fusermount_run(arguments, theirs, err);
        if (r < 0)
                return r;
        return fusermount_receive(ours, ret_fd, err);
}

int fusermount_umount(const char *target, bool detach, Err *err)
{
        char *const busy[] = { (char *)FUSERMOUNT_PROGRAM, (char *)"-u", (char *)"--",
                               (char *)target, NULL };
        char *const lazy[] = { (char *)FUSERMOUNT_PROGRAM,
                               (char *)"-u",
                               (char *)"-z",
                               (char *)"--",
                               (char *)target,
                               NULL };
        Err said = { "" };

        int r = fusermount_run(detach ? lazy : busy, -1, &said);
        if (r < 0 && strstr(said.text, "busy"))
                r = -EBUSY;
        return r < 0 ? err_set(err, -r, "%s", said.text) : 0;
}

int fusermount_escape(char *options, size_t size, const char *text)
{
        size_t used = strlen(options);

        for (; *text; text++) {
                if (used + 3 > size)
                        return -ENAMETOOLONG;
                if (*text == ',' || *text == '\\')
                        options[used++] = '\\';
                options[used++] = *text;
        }
        options[used] = '\0';
        return 0;
}
