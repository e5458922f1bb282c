/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/terminal.h"
#include "cli/cli.h"
#include "cli/list.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* The other screen, without a cursor, and back. */
#define SCREEN_OPEN "\033[?1049h\033[?25l"
#define SCREEN_CLOSE "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H"
#define SCREEN_LINE_END "\033[K\r\n"
#define SCREEN_CLEAR_REST "\033[J"

enum {
        WATCH_INTERVAL_MS = 1000,
};

typedef struct Watch {
        int signals;
        bool has_keys; /* stdin is the terminal, and `before` is how it was */
        struct termios before;
        bool heading;
        StuckLooks stuck;
} Watch;

typedef enum WatchNext {
        WATCH_AGAIN,
        WATCH_END,
        WATCH_STOP, /* Ctrl-Z */
} WatchNext;

/* Keys come one by one and are not shown; Ctrl-C goes on being a signal. */
static void watch_open_screen(Watch *w)
{
        struct termios keys;

        w->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &w->before) == 0;
        if (w->has_keys) {
                keys = w->before;
                keys.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
                keys.c_cc[VMIN] = 0;
                keys.c_cc[VTIME] = 0;
                tcsetattr(STDIN_FILENO, TCSANOW, &keys);
        }
        fputs(SCREEN_OPEN, stdout);
        fflush(stdout);
}

static void watch_close_screen(Watch *w)
{
        fputs(SCREEN_CLOSE, stdout);
        fflush(stdout);
        if (w->has_keys)
                tcsetattr(STDIN_FILENO, TCSANOW, &w->before);
}

/* A frame goes out in one piece, so that nothing flickers. */
static int watch_draw(Watch *w, Err *err)
{
        _cleanup_list_ List list = { 0 };
        _cleanup_free_ char *frame = NULL;
        size_t len = 0, height = terminal_height(STDOUT_FILENO);
        TableShape shape = {
                .width = terminal_width(STDOUT_FILENO),
                .colour = terminal_has_colour(STDOUT_FILENO),
                .heading = w->heading,
                .line_end = SCREEN_LINE_END,
                /* The last line stays free: ending it would move all others up. */
                .rows_max = height > 3 ? height - 3 : 1,
        };

        int r = list_read(&w->stuck, &list, err);
        if (r < 0)
                return r;
        FILE *out = open_memstream(&frame, &len);
        if (!out)
                return err_set(err, errno, "%m");
        fputs(SCREEN_HOME, out);
        bool all = list_print_table(&list, LIST_FOR_PERSON, &shape, out);
        if (list.count == 0)
                fputs("No views." SCREEN_LINE_END, out);
        if (list.count > shape.rows_max)
                fprintf(out, "and %zu more" SCREEN_LINE_END, list.count - shape.rows_max);
        fputs(SCREEN_CLEAR_REST, out);
        if (fclose(out) != 0 || !all)
                return err_set(err, ENOMEM, "%m");
        fwrite(frame, 1, len, stdout);
        return fflush(stdout) == 0 ? 0 : err_set(err, errno, "standard output: %m");
}

static WatchNext watch_take_signal(const Watch *w)
{
        struct signalfd_siginfo s;

        if (read(w->signals, &s, sizeof(s)) != sizeof(s))
                return WATCH_AGAIN;
        if (s.ssi_signo == SIGTSTP)
                return WATCH_STOP;
        return s.ssi_signo == SIGWINCH || s.ssi_signo == SIGCONT ? WATCH_AGAIN : WATCH_END;
}

/* A terminal that is gone is at its end for good. */
static WatchNext watch_take_keys(void)
{
        char keys[64];
        ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

        if (n < 0)
                return WATCH_END;
        return memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n) ? WATCH_END
                                                                            : WATCH_AGAIN;
}

/* Until it is time for another frame, or something has happened. */
static WatchNext watch_wait(const Watch *w)
{
        int64_t end = clock_now_ms() + WATCH_INTERVAL_MS;
        WatchNext next = WATCH_AGAIN;

        for (int64_t left = WATCH_INTERVAL_MS; left > 0 && next == WATCH_AGAIN;
             left = end - clock_now_ms()) {
                struct pollfd p[] = {
                        { .fd = w->signals, .events = POLLIN },
                        { .fd = w->has_keys ? STDIN_FILENO : -1, .events = POLLIN },
                };
                if (poll(p, 2, (int)left) <= 0)
                        continue;
                if (p[1].revents & (POLLHUP | POLLERR))
                        return WATCH_END;
                if (p[1].revents)
                        next = watch_take_keys();
                /* After a change of the window's size nobody waits for the second to be over. */
                if (p[0].revents)
                        return watch_take_signal(w);
        }
        return next;
}

/* Ctrl-Z leaves the terminal to the shell in the meantime. */
static void watch_stop(Watch *w)
{
        watch_close_screen(w);
        raise(SIGSTOP);
        watch_open_screen(w);
}

static int watch_run(Watch *w, Err *err)
{
        for (;;) {
                int r = watch_draw(w, err);
                if (r < 0)
                        return r;
                WatchNext next = watch_wait(w);
                if (next == WATCH_END)
                        return 0;
                if (next == WATCH_STOP)
                        watch_stop(w);
        }
}

int list_watch(bool heading)
{
        static const int caught[] = {
                SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGCONT
        };
        Watch w = { .heading = heading };
        Err err = { "" };
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
                sigaddset(&set, caught[i]);
        sigprocmask(SIG_BLOCK, &set, NULL);
        _cleanup_close_ int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signals < 0) {
                err_set(&err, errno, "cannot make a signalfd: %m");
                return cli_fail("list", &err);
        }
        w.signals = signals;
        watch_open_screen(&w);
        int r = watch_run(&w, &err);
        watch_close_screen(&w);
        stuck_looks_done(&w.stuck);
        return r < 0 ? cli_fail("list", &err) : cli_end(CLI_OK);
}
