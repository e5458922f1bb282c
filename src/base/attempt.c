/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/attempt.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child sends: the number that the work returned, then its result. */
typedef struct AttemptReport {
        int32_t r;
        _Alignas(16) uint8_t result[ATTEMPT_RESULT_MAX];
} AttemptReport;

/* The places of the only descriptors that the child keeps. */
enum {
        ATTEMPT_FOLDER = 3,
        ATTEMPT_OUT = 4,
        ATTEMPT_REST = 5,
        ATTEMPT_ASIDE = 16,
};

enum {
        /* Between SIGKILL and the end of a child that nothing holds. */
        ATTEMPT_DEATH_MS = 200,
};

static void attempt_close(int fd)
{
        if (fd >= 0)
                close(fd);
}

/* Moves both descriptors out of the way first, so that neither overwrites the other. */
static int attempt_keep_two(int folder, int out)
{
        int out_aside = fcntl(out, F_DUPFD, ATTEMPT_ASIDE);
        int folder_aside = folder < 0 ? -1 : fcntl(folder, F_DUPFD, ATTEMPT_ASIDE);

        if (out_aside < 0 || (folder >= 0 && folder_aside < 0))
                return -errno;
        if (dup2(out_aside, ATTEMPT_OUT) < 0)
                return -errno;
        if (folder >= 0 && dup2(folder_aside, ATTEMPT_FOLDER) < 0)
                return -errno;
        if (folder < 0)
                close(ATTEMPT_FOLDER);
        return syscall(SYS_close_range, (unsigned)ATTEMPT_REST, ~0U, 0U) < 0 ? -errno : 0;
}

static _Noreturn void attempt_child(
        AttemptWork work, const void *arg, int folder, int out, size_t result_len)
{
        AttemptReport report = { 0 };
        sigset_t none;

        sigemptyset(&none);
        signal(SIGTERM, SIG_DFL);
        signal(SIGPIPE, SIG_IGN);
        sigprocmask(SIG_SETMASK, &none, NULL);

        if (attempt_keep_two(folder, out) < 0)
                _exit(1);
        report.r = work(arg, folder < 0 ? -1 : ATTEMPT_FOLDER, report.result);
        ssize_t n = write(ATTEMPT_OUT, &report, offsetof(AttemptReport, result) + result_len);
        _exit(n < 0);
}

int attempt_start(AttemptWork work, const void *arg, int folder, size_t result_len, Attempt *ret)
{
        assert(result_len <= ATTEMPT_RESULT_MAX);

        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;

        pid_t pid = fork();
        if (pid == 0)
                attempt_child(work, arg, folder, ends[1], result_len);
        int r = pid < 0 ? -errno : 0;
        close(ends[1]);

        int pidfd = -1;
        if (pid > 0) {
                pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
                if (pidfd < 0)
                        r = -errno;
        }
        Attempt a = { .pid = pid, .pidfd = pidfd, .result = ends[0], .result_len = result_len };
        if (r < 0) {
                attempt_drop(&a);
                return r;
        }
        *ret = a;
        return 0;
}

void attempt_drop_all(Attempt *attempts, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (attempts[i].pid > 0)
                        kill(attempts[i].pid, SIGKILL);

        int64_t end = clock_now_ms() + ATTEMPT_DEATH_MS;
        for (size_t i = 0; i < count; i++) {
                Attempt *a = &attempts[i];
                pid_t left = -1;
                if (a->pid > 0) {
                        /* Dying takes a moment, in which it still holds a place in the view, and keeps that from being
                         * unmounted. A child in the middle of a request to a view dies only when the view answers: no more
                         * waiting. */
                        struct pollfd p = { .fd = a->pidfd, .events = POLLIN };
                        int64_t ms = end - clock_now_ms();
                        poll(&p, 1, ms > 0 ? (int)ms : 0);
                        left = waitpid(a->pid, NULL, WNOHANG) == 0 ? a->pid : -1;
                }
                attempt_close(a->pidfd);
                attempt_close(a->result);
                *a = (Attempt){ .pid = left, .pidfd = -1, .result = -1 };
        }
}

void attempt_drop(Attempt *a)
{
        attempt_drop_all(a, 1);
        a->pid = -1;
}

static int attempt_wait(const Attempt *a, int limit_ms)
{
        int64_t end = clock_now_ms() + limit_ms;

        for (;;) {
                int64_t left = end - clock_now_ms();
                struct pollfd p = { .fd = a->pidfd, .events = POLLIN };
                int n = poll(&p, 1, left > 0 ? (int)left : 0);
                if (n > 0)
                        return 0;
                if (n == 0)
                        return -ETIMEDOUT;
                if (errno != EINTR)
                        return -errno;
        }
}

int attempt_finish(Attempt *a, int limit_ms, void *result)
{
        AttemptReport report;

        int r = attempt_wait(a, limit_ms);
        if (r == 0) {
                size_t len = offsetof(AttemptReport, result) + a->result_len;
                ssize_t n = read(a->result, &report, len);
                r = n == (ssize_t)len ? report.r : -EPROTO;
                if (r >= 0 && result && a->result_len > 0)
                        memcpy(result, report.result, a->result_len);
                waitpid(a->pid, NULL, 0);
                a->pid = -1;
        }
        attempt_drop(a);
        return r;
}
