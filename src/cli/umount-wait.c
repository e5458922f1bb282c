/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a process gets on is told by the kernel to everybody: how much it has run, and how often it has waited for something and got
 * it. A flush that the disk takes page by page is seen by that, and so is reading; a disk that does not answer is, too.
 */
#include "cli/umount-wait.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
        UMOUNT_LOOK_MS = 250,
        UMOUNT_FILE_MAX = 4096,
};

#define UMOUNT_WORKER "rawview-worker\n"

/* What has been seen of the process that is at work. */
typedef struct UmountSigns {
        pid_t pid;
        bool is_worker;
        bool known;     /* this user may look */
        uint64_t count; /* another one than before: it has done something */
} UmountSigns;

/* A whole small file of /proc; "" where it cannot be read. */
static void umount_read(const char *path, char ret[UMOUNT_FILE_MAX])
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, UMOUNT_FILE_MAX - 1);

        ret[n > 0 ? n : 0] = '\0';
}

/* The child that has the image; the daemon itself, where there is none any more. */
static void umount_find_worker(pid_t daemon, UmountSigns *ret)
{
        char path[64], children[UMOUNT_FILE_MAX], name[UMOUNT_FILE_MAX];
        char *at = children, *end = NULL;

        *ret = (UmountSigns){ .pid = daemon };
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)daemon, (int)daemon);
        umount_read(path, children);
        for (long child; (child = strtol(at, &end, 10)) > 0 && end != at; at = end) {
                snprintf(path, sizeof(path), "/proc/%ld/comm", child);
                umount_read(path, name);
                if (strcmp(name, UMOUNT_WORKER) == 0)
                        *ret = (UmountSigns){ .pid = (pid_t)child, .is_worker = true };
        }
}

/* The fields of stat(5) behind the name, which may hold anything: state, …, and the 14th and 15th, the time that it has run. */
static bool umount_parse_stat(const char *text, char *ret_state, uint64_t *ret_ran)
{
        const char *behind = strrchr(text, ')');
        unsigned long long user = 0, system = 0;
        char state = 0;

        if (!behind || sscanf(behind + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                              &state, &user, &system) != 3)
                return false;
        *ret_state = state;
        *ret_ran = user + system;
        return true;
}

static void umount_count_thread(UmountSigns *s, const char *thread)
{
        static const char *const lines[] = { "\nvoluntary_ctxt_switches:",
                                             "\nnonvoluntary_ctxt_switches:" };
        char path[64], text[UMOUNT_FILE_MAX], state;
        uint64_t ran = 0;

        snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)s->pid, thread);
        umount_read(path, text);
        if (!umount_parse_stat(text, &state, &ran))
                return;
        s->known = true;
        s->count += ran;
        snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", (int)s->pid, thread);
        umount_read(path, text);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                const char *line = strstr(text, lines[i]);
                if (line)
                        s->count += strtoull(line + strlen(lines[i]), NULL, 10);
        }
}

static void umount_look(pid_t daemon, UmountSigns *ret)
{
        char path[64];

        umount_find_worker(daemon, ret);
        snprintf(path, sizeof(path), "/proc/%d/task", (int)ret->pid);
        DIR *tasks = opendir(path);
        if (!tasks)
                return;
        for (const struct dirent *d; (d = readdir(tasks));)
                if (d->d_name[0] != '.')
                        umount_count_thread(ret, d->d_name);
        closedir(tasks);
}

/* The daemon writes it into its name when it knows. -1: it does not. */
static int umount_get_percent(pid_t daemon)
{
        char path[64], name[UMOUNT_FILE_MAX];
        unsigned percent = 0;
        int len = 0;

        snprintf(path, sizeof(path), "/proc/%d/comm", (int)daemon);
        umount_read(path, name);
        if (sscanf(name, "rawviewd %3u%%%n", &percent, &len) != 1 || len == 0 || percent > 100)
                return -1;
        return (int)percent;
}

static int umount_give_up(const UmountWait *w, const UmountSigns *s, Err *err)
{
        char path[64], text[UMOUNT_FILE_MAX], state = '?';
        uint64_t ran = 0;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->pid);
        umount_read(path, text);
        (void)umount_parse_stat(text, &state, &ran);
        return err_set(
                err, ETIMEDOUT,
                "it is unmounted, but %s (process %d) has done nothing for %d seconds and has not "
                "closed the image: it %s",
                s->is_worker ? "the worker of its daemon" : "its daemon", (int)s->pid,
                w->patience_ms / 1000,
                state == 'D'   ? "waits for a disk that does not answer"
                : state == 'T' ? "was stopped by a signal"
                               : "waits for something that does not come");
}

static void umount_show(const UmountWait *w, Progress *line)
{
        int percent = umount_get_percent(w->pid);

        if (percent >= 0)
                progress_show(line, "reading again", (uint64_t)percent, 100);
        else
                progress_show(line, w->is_written ? "writing" : "closing", 0, 0);
}

/* 1: the daemon has ended. 0: it was waited long enough for another look. -EINTR: Ctrl-C. */
static int umount_poll(const UmountWait *w, int interrupted)
{
        struct pollfd p[] = { { .fd = w->daemon, .events = POLLIN },
                              { .fd = interrupted, .events = POLLIN } };

        int n = poll(p, 2, UMOUNT_LOOK_MS);
        if (n > 0 && p[0].revents)
                return 1;
        return n > 0 && p[1].revents ? -EINTR : 0;
}

static int umount_wait_shown(const UmountWait *w, int interrupted, Progress *line, Err *err)
{
        UmountSigns before = { 0 }, now = { 0 };
        int64_t done_ms = clock_now_ms();

        for (;;) {
                int r = umount_poll(w, interrupted);
                if (r > 0)
                        return 0;
                if (r < 0)
                        return err_set(err, -r, "interrupted");
                umount_look(w->pid, &now);
                if (!now.known || now.pid != before.pid || now.count != before.count)
                        done_ms = clock_now_ms();
                else if (clock_now_ms() - done_ms >= w->patience_ms)
                        return umount_give_up(w, &now, err);
                before = now;
                umount_show(w, line);
        }
}

int umount_wait(const UmountWait *w, Err *err)
{
        sigset_t interrupt, mask;
        Progress line;

        sigemptyset(&interrupt);
        sigaddset(&interrupt, SIGINT);
        sigprocmask(SIG_BLOCK, &interrupt, &mask);
        _cleanup_close_ int interrupted = signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
        progress_init(&line, PROGRESS_AUTO, w->image);
        int r = umount_wait_shown(w, interrupted, &line, err);
        progress_wipe(&line);
        progress_done(&line);
        if (r == -EINTR)
                log_line(
                        LOG_LEVEL_NOTICE,
                        "%s: is unmounted, and its daemon (process %d) goes on until the image is closed",
                        w->image, (int)w->pid);
        /* The signal is still there, and ends us, as the shell and a script in it want to see. */
        sigprocmask(SIG_SETMASK, &mask, NULL);
        return r;
}
