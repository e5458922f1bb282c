/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/progress.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/terminal.h"
#include "base/utf8.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        PROGRESS_FIRST_MS = 500, /* what is done before that shows nothing */
        PROGRESS_EACH_MS = 100,
        PROGRESS_NEW = 1000, /* no percent */
        PROGRESS_UNKNOWN,
};

/* To the beginning of the line, and everything behind it away. */
#define PROGRESS_WIPE "\r\x1b[K"

static const int progress_signals[] = { SIGINT, SIGTERM, SIGHUP };

void progress_init(Progress *p, ProgressWish wish, const char *name)
{
        size_t width = terminal_width(STDERR_FILENO);

        if (width > 0)
                terminal_prepare();

        *p = (Progress){
                .is_on = wish == PROGRESS_FORCED || (wish == PROGRESS_AUTO && width > 0),
                .is_forced = wish == PROGRESS_FORCED,
                .width = width,
                .name = strdup(name),
                .shown_ms = clock_now_ms(),
                .percent = PROGRESS_NEW,
        };
        if (p->name)
                utf8_make_printable(p->name);
}

static void progress_end(int signal_number)
{
        ssize_t n = write(STDERR_FILENO, PROGRESS_WIPE, strlen(PROGRESS_WIPE));

        (void)n;
        signal(signal_number, SIG_DFL);
        raise(signal_number);
}

void progress_watch_signals(const Progress *p)
{
        for (size_t i = 0; i < sizeof(progress_signals) / sizeof(progress_signals[0]); i++) {
                struct sigaction old;
                if (!p->is_on || p->width == 0)
                        return;
                sigaction(progress_signals[i], NULL, &old);
                if (old.sa_handler == SIG_DFL)
                        signal(progress_signals[i], progress_end);
        }
}

/* The whole line shorter than the terminal is wide, or it would be wiped in part only. */
static void progress_draw(Progress *p)
{
        char percent[16] = "…";
        size_t rest = strlen(p->pass) + strlen("100 %");
        _cleanup_free_ char *name = NULL;

        if (p->percent != PROGRESS_UNKNOWN)
                snprintf(percent, sizeof(percent), "%3u %%", p->percent);
        if (p->width == 0) {
                fprintf(stderr, "%s %s: %s\n", p->pass, p->name ? p->name : "?", percent);
                return;
        }
        fflush(stdout);
        if (p->name && p->width > rest + 16)
                name = terminal_shorten(p->name, p->width - rest - 4);
        fprintf(stderr, "\r%s%s%s: %s\x1b[K", p->pass, name ? " " : "", name ? name : "", percent);
        p->is_drawn = true;
}

void progress_show(Progress *p, const char *pass, uint64_t done, uint64_t whole)
{
        unsigned percent = whole > 0 ? (unsigned)((double)done * 100 / (double)whole)
                                     : (unsigned)PROGRESS_UNKNOWN;

        if (!p->is_on || (percent == p->percent && pass == p->pass))
                return;
        int64_t now = clock_now_ms();
        /* The end is shown, also to who has seen no more than the beginning. */
        bool is_end = p->is_drawn && percent == 100;
        if (p->width > 0 && !is_end && !(p->is_forced && !p->is_drawn) &&
            now - p->shown_ms < (p->is_drawn ? PROGRESS_EACH_MS : PROGRESS_FIRST_MS))
                return;
        p->shown_ms = now;
        p->pass = pass;
        p->percent = percent;
        progress_draw(p);
}

void progress_wipe(Progress *p)
{
        if (p->is_drawn)
                fputs(PROGRESS_WIPE, stderr);
        p->is_drawn = false;
        p->percent = PROGRESS_NEW;
}

void progress_done(Progress *p)
{
        free(p->name);
        *p = (Progress){ 0 };
}
