/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/progressing.h"

#include "supervisor/manager.h"
#include "supervisor/notify.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>

enum {
        /* So long the service manager waits from one word of it to the next. */
        PROGRESSING_PATIENCE_MS = 60 * 1000,
        /* A worker says it four times a second. */
        PROGRESSING_MESSAGES_MAX = 50,
        /* A repair goes over an image some times. */
        PROGRESSING_PASSES_MAX = 1000,
};

/* What rawview(1) knows this process by, and the number behind it. */
#define PROGRESSING_NAME "rawviewd"

void progressing_begin(Manager *m)
{
        bool is_quiet = m->options->level == LOG_LEVEL_ERROR;

        progressing_done(&m->progressing);
        progress_init(&m->progressing.line, is_quiet ? PROGRESS_NONE : PROGRESS_AUTO,
                      status_image_name(m));
}

void progressing_show(Manager *m, const char *pass, uint64_t done, uint64_t whole)
{
        char name[16];
        unsigned percent = whole > 0 ? (unsigned)((double)done * 100 / (double)whole) : 100;

        progress_show(&m->progressing.line, pass, done, whole > 0 ? whole : 1);
        if (m->stage == STAGE_OPENING)
                return;
        snprintf(name, sizeof(name), PROGRESSING_NAME " %u%%", percent);
        (void)prctl(PR_SET_NAME, name);
}

void progressing_wipe(Manager *m)
{
        progress_wipe(&m->progressing.line);
}

/* A worker that says more than it has to say is not believed to be one. */
static int progressing_count(Progressing *p, int64_t now_ms, Err *err)
{
        if (p->second != now_ms / 1000) {
                p->second = now_ms / 1000;
                p->messages = 0;
        }
        if (++p->messages <= PROGRESSING_MESSAGES_MAX)
                return 0;
        return err_set(err, EPROTO, "it tells how far it is without end");
}

int progressing_take(Manager *m, const MessageProgress *word, Err *err)
{
        Progressing *p = &m->progressing;
        bool repairs = word->pass == MESSAGE_PASS_REPAIRING;
        int64_t now = watch_now_ms();

        int r = progressing_count(p, now, err);
        if (r < 0)
                return r;
        bool is_farther = word->pass == p->pass && word->percent > p->percent;
        /* The same pass from its beginning is another one. */
        if (!is_farther && ++p->passes > PROGRESSING_PASSES_MAX)
                return err_set(err, EPROTO, "it goes over the image without end");
        p->pass = word->pass;
        p->percent = word->percent;
        p->said_ms = now;
        notify_ask_for_time(PROGRESSING_PATIENCE_MS);
        notify_status("", "%s %s before it is written to: %u%%", repairs ? "Repairing" : "Checking",
                      status_written_name(m), word->percent);
        progressing_show(m, repairs ? "repairing" : "checking", word->percent, 100);
        return 0;
}

void progressing_done(Progressing *p)
{
        progress_wipe(&p->line);
        progress_done(&p->line);
        *p = (Progressing){ 0 };
}
