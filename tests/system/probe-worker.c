/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawview-worker FD, as rawviewd starts it, but hostile: it tries everything of escapes.c, each in a child of its own that
 * goes into the worker's sandbox first; then once more with barriers left out, as on a kernel that does not have them, to see
 * what the others stop. A line for each attempt goes into the file IMAGE.report: what became of it in each round. The
 * linker (--wrap) puts the functions below in the place of the library's.
 */
#include "../unit/sandbox/escapes.h"
#include "base/capabilities.h"
#include "base/cleanup.h"
#include "ipc/channel.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        PROBE_NOT_IN = 250,
        PROBE_PLACE = 4096,
};

#define PROBE_SECRET "/etc/rawview-secret"

typedef enum Round {
        ROUND_FREE,     /* no barrier: what root can do in this unit */
        ROUND_WORKER,   /* as it is */
        ROUND_FILTER,   /* all but the filter */
        ROUND_LANDLOCK, /* Landlock alone of those that forbid */
        ROUND_USER,     /* user and capabilities alone */
        ROUND_COUNT,
} Round;

int __real_filter_enter(Err *err);
int __wrap_filter_enter(Err *err);
int __real_landlock_enter(Err *err);
int __wrap_landlock_enter(Err *err);
int __real_capabilities_keep(uint64_t mask);
int __wrap_capabilities_keep(uint64_t mask);

/* Of this child. */
static Round probe_round;

int __wrap_filter_enter(Err *err)
{
        return probe_round == ROUND_WORKER ? __real_filter_enter(err) : -EOPNOTSUPP;
}

int __wrap_landlock_enter(Err *err)
{
        return probe_round == ROUND_USER ? -EOPNOTSUPP : __real_landlock_enter(err);
}

int __wrap_capabilities_keep(uint64_t mask)
{
        return probe_round == ROUND_LANDLOCK ? -EOPNOTSUPP : __real_capabilities_keep(mask);
}

/* What must work in every round. */
static int duty_read(const EscapeTargets *t)
{
        char bytes[16];
        return pread(t->image, bytes, sizeof(bytes), PROBE_PLACE) == sizeof(bytes) ? 0 : errno;
}

static int duty_write(const EscapeTargets *t)
{
        return pwrite(t->image, "guest", 5, PROBE_PLACE) == 5 ? 0 : errno;
}

static int duty_sync(const EscapeTargets *t)
{
        return fdatasync(t->image) < 0 ? errno : 0;
}

static const Escape duties[] = {
        { "read the image", duty_read, 0, -1 },
        { "write the image", duty_write, 0, -1 },
        { "bring it to disk", duty_sync, 0, -1 },
};

/* fstat() of the C library is newfstatat with these flags, and a filter cannot look at the path: docs/SECURITY.md. */
static int gap_attributes(const EscapeTargets *t)
{
        struct stat st;
        return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, AT_EMPTY_PATH) < 0 ? errno : 0;
}

static const Escape gaps[] = {
        { "stat as the C library does", gap_attributes, 0, -1 },
};

typedef struct Probe {
        pid_t supervisor;
        int channel, image_fd;
        MessageImage image;
} Probe;

static _Noreturn void probe_child(const Probe *p, const Escape *e, Round round)
{
        EscapeTargets targets = { p->supervisor, p->image_fd, PROBE_SECRET };
        MessageImage image = p->image;
        SandboxReport report;

        probe_round = round;
        if (round != ROUND_WORKER)
                image.require_sandbox = 0;
        if (round == ROUND_LANDLOCK)
                image.switch_user = 0;
        if (round != ROUND_FREE &&
            worker_confine(&image, p->channel, -1, p->image_fd, &report, NULL) < 0)
                _exit(PROBE_NOT_IN);
        _exit(e->act(&targets));
}

/* "done", the name of an errno, or that of the signal that ended it. */
static void probe_try(const Probe *p, const Escape *e, Round round, char ret[32])
{
        int status = -1;

        pid_t pid = fork();
        if (pid == 0)
                probe_child(p, e, round);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                snprintf(ret, 32, "no child");
        else if (WIFSIGNALED(status))
                snprintf(ret, 32, "SIG%s", sigabbrev_np(WTERMSIG(status)));
        else if (WEXITSTATUS(status) == PROBE_NOT_IN)
                snprintf(ret, 32, "not in");
        else
                snprintf(ret, 32, "%s",
                         WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "done");
}

static void probe_report(const Probe *p, const Escape *list, size_t count, FILE *to)
{
        for (size_t i = 0; i < count; i++) {
                fprintf(to, "%s", list[i].name);
                for (Round round = 0; round < ROUND_COUNT; round++) {
                        char word[32];
                        probe_try(p, &list[i], round, word);
                        fprintf(to, "|%s", word);
                }
                fprintf(to, "\n");
                fflush(to);
        }
}

int main(int argc, char *argv[])
{
        Probe p = { .channel = argc == 2 ? (int)strtol(argv[1], NULL, 10) : -1, .image_fd = -1 };
        Message m, answer = { .kind = MESSAGE_FAILED };
        char name[MESSAGE_PATH_MAX + 8];

        if (channel_receive(p.channel, &m, &p.image_fd, NULL) != 1 || m.kind != MESSAGE_IMAGE)
                return EXIT_FAILURE;
        p.image = m.image;
        p.supervisor = getppid();
        snprintf(name, sizeof(name), "%s.report", p.image.path);
        FILE *to = fopen(name, "we");
        if (!to)
                return EXIT_FAILURE;
        probe_report(&p, duties, sizeof(duties) / sizeof(duties[0]), to);
        probe_report(&p, gaps, sizeof(gaps) / sizeof(gaps[0]), to);
        probe_report(&p, escapes, escape_count, to);
        fclose(to);

        answer.error.code = EINVAL;
        snprintf(answer.error.text, sizeof(answer.error.text), "the probe has reported");
        return channel_send(p.channel, &answer, -1, NULL) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
