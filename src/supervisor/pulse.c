/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/pulse.h"

#include "base/log.h"
#include "base/memory-trim.h"
#include "supervisor/manager.h"
#include "supervisor/status.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum {
        /* Several looks fit into the time of a watchdog, so that a slow one does no harm. */
        PULSE_LOOKS_PER_WATCHDOG = 4,
        /* A watchdog of milliseconds would have us do nothing else. */
        PULSE_INTERVAL_MIN_MS = 100,
        /* After this we say so. */
        PULSE_LATE_MS = 60 * 1000,
};

static int64_t pulse_get_watchdog_ms(void)
{
        uint64_t usec = 0;

        if (sd_watchdog_enabled(0, &usec) <= 0)
                return 0;
        return (int64_t)(usec / 1000) + 1;
}

static int64_t pulse_choose_interval_ms(int64_t watchdog_ms)
{
        int64_t interval = watchdog_ms / PULSE_LOOKS_PER_WATCHDOG;

        if (watchdog_ms == 0 || interval > PULSE_INTERVAL_MS)
                return PULSE_INTERVAL_MS;
        return interval < PULSE_INTERVAL_MIN_MS ? PULSE_INTERVAL_MIN_MS : interval;
}

void pulse_begin(Manager *m)
{
        int64_t watchdog_ms = pulse_get_watchdog_ms();

        m->pulse = (Pulse){
                /* Where we do not know its mount, we cannot look. */
                .running = m->target.parent >= 0,
                .depth = LOOK_READ,
                .watchdog_ms = watchdog_ms,
                .interval_ms = pulse_choose_interval_ms(watchdog_ms),
        };
        /* The first look was that of the start. */
        m->pulse.next_ms = watch_now_ms() + m->pulse.interval_ms;
}

void pulse_prepare_end(Manager *m)
{
        Pulse *p = &m->pulse;

        p->use.pid_count = 0;
        p->depth = LOOK_ASK;
        p->watchdog_ms = 0;
        p->interval_ms = PULSE_ENDING_MS;
        p->next_ms = 0;
}

void pulse_end(Manager *m)
{
        if (m->pulse.looking)
                attempt_drop(&m->pulse.look);
        m->pulse.looking = false;
        m->pulse.running = false;
}

int pulse_fd(const Pulse *p)
{
        return p->looking ? p->look.pidfd : -1;
}

/* What happens next by itself: the next look, or the word that this one takes long. -1: nothing. */
static int64_t pulse_next_ms(const Pulse *p)
{
        if (!p->looking)
                return p->next_ms;
        return p->late ? -1 : p->began_ms + PULSE_LATE_MS;
}

int pulse_limit(const Pulse *p, int64_t now_ms, int timeout_ms)
{
        int64_t next = p->running ? pulse_next_ms(p) : -1;

        if (next < 0)
                return timeout_ms;
        int64_t left = next > now_ms ? next - now_ms : 0;
        return timeout_ms < 0 || left < timeout_ms ? (int)left : timeout_ms;
}

static void pulse_take_answer(Manager *m, const LookAnswer *answer)
{
        Pulse *p = &m->pulse;
        LookUse use;

        /* Each further look there would be an I/O error in the log that nobody else has met. */
        if (answer->unreadable)
                p->depth = LOOK_ASK;
        if (look_parse_use(answer->use, &use) >= 0)
                p->use = use;
        if (p->late)
                log_line(LOG_LEVEL_NOTICE, "%s: answers again", m->target.path);
        p->late = false;
        if (p->watchdog_ms > 0)
                sd_notify(0, "WATCHDOG=1");
        status_update(m);
}

/* A look that failed has not been answered: either the server is gone, of which the worker's end tells, or we have no
 * means to look, of which nobody is told anything good. */
static void pulse_finish_look(Manager *m, int64_t now_ms)
{
        Pulse *p = &m->pulse;
        LookAnswer answer = { .unreadable = false };

        int r = attempt_finish(&p->look, 0, &answer);
        p->looking = false;
        p->next_ms = now_ms + p->interval_ms;
        if (r >= 0)
                pulse_take_answer(m, &answer);
        else
                log_line(LOG_LEVEL_DEBUG, "%s: a look at it failed: %s", m->target.path,
                         strerror(-r));
        memory_trim();
}

static void pulse_start_look(Manager *m, int64_t now_ms)
{
        Pulse *p = &m->pulse;

        int r = look_start(m->target.parent, m->target.name, p->depth, &p->look);
        p->looking = r >= 0;
        p->began_ms = now_ms;
        p->next_ms = now_ms + p->interval_ms;
        if (r < 0)
                log_line(LOG_LEVEL_WARNING, "%s: cannot look at the view: %s", m->target.path,
                         strerror(-r));
}

static bool pulse_has_answer(const Pulse *p)
{
        struct pollfd poll_fd = { .fd = p->look.pidfd, .events = POLLIN };
        return poll(&poll_fd, 1, 0) > 0;
}

void pulse_step(Manager *m, int64_t now_ms)
{
        Pulse *p = &m->pulse;

        if (!p->running)
                return;
        if (p->looking && pulse_has_answer(p))
                pulse_finish_look(m, now_ms);
        else if (p->looking && !p->late && now_ms - p->began_ms >= PULSE_LATE_MS) {
                p->late = true;
                log_line(LOG_LEVEL_WARNING, "%s: has not answered for %d seconds", m->target.path,
                         PULSE_LATE_MS / 1000);
                status_update(m);
        } else if (!p->looking && now_ms >= p->next_ms)
                pulse_start_look(m, now_ms);
}

int64_t pulse_silence_ms(const Pulse *p, int64_t now_ms)
{
        return p->looking ? now_ms - p->began_ms : 0;
}

bool pulse_is_overdue(const Pulse *p, int64_t now_ms)
{
        return p->watchdog_ms > 0 && pulse_silence_ms(p, now_ms) >= p->watchdog_ms / 2;
}
