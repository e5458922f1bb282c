/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/unchanged.h"

#include "supervisor/manager.h"
#include "supervisor/notify.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
        /* So long the service manager waits from one word of it to the next. */
        UNCHANGED_PATIENCE_MS = 60 * 1000,
        /* Whoever reads comes farther than that from one word to the next. */
        UNCHANGED_STEP = 64 << 10,
};

bool unchanged_may_be_said(const Manager *m)
{
        return m->config->assert_unchanged &&
               ((m->stage == STAGE_OPENING && !m->unlock.is_asking) || m->stage == STAGE_SERVING);
}

static int unchanged_make_room(Unchanged *u, size_t count, Err *err)
{
        if (count <= u->count)
                return 0;
        UnchangedFile *files = reallocarray(u->files, count, sizeof(*files));
        if (!files)
                return err_set(err, ENOMEM, "%m");
        memset(files + u->count, 0, (count - u->count) * sizeof(*files));
        u->files = files;
        u->count = count;
        return 0;
}

static const char *unchanged_name(const Manager *m, size_t layer)
{
        const char *slash = strrchr(m->image.layers[layer].path, '/');
        return slash ? slash + 1 : m->image.layers[layer].path;
}

static void unchanged_tell(Manager *m, const MessageDigest *d)
{
        const char *name = unchanged_name(m, d->layer);
        unsigned percent = d->total ? (unsigned)((double)d->done * 100 / (double)d->total) : 100;

        m->unchanged.said_ms = watch_now_ms();
        notify_ask_for_time(UNCHANGED_PATIENCE_MS);
        if (m->stage == STAGE_OPENING)
                notify_status("", "Reading all of %s (AssertUnchanged=): %u%%", name, percent);
        else
                status_ending(m, "Reading all of %s again (AssertUnchanged=): %u%%", name, percent);
        progressing_show(m, "reading", d->done, d->total);
}

static void unchanged_log(const Manager *m, const MessageDigest *d, const UnchangedFile *f)
{
        const char *path = m->image.layers[d->layer].path;
        bool after = m->stage != STAGE_OPENING;
        EventSubject subject = m->subject;

        subject.file = path;
        subject.sha256 = f->sha256[after];
        if (after && (!f->known[0] || strcmp(f->sha256[0], f->sha256[1]) != 0))
                return;
        event_log(after ? EVENT_UNCHANGED : EVENT_DIGEST, &subject, 0, "%s: sha256 %s%s", path,
                  f->sha256[after], after ? ", as it was before it was shown" : "");
}

/* Progress is what is waited for, so that it cannot be without end. A file that was cut off meanwhile counts as well: whoever reads
 * it fails. */
static bool unchanged_is_too_long(const Manager *m, const MessageDigest *d)
{
        int fd = m->image.layers[d->layer].fd;
        uint64_t most = INT64_MAX;
        struct statx st;

        /* What the kernel knows already: a server that hangs is the worker's to wait for. */
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &st) == 0 &&
            S_ISREG(st.stx_mode))
                most = st.stx_size;
        return d->total > most;
}

int unchanged_take(Manager *m, const MessageDigest *d, Err *err)
{
        int after = m->stage == STAGE_OPENING ? 0 : 1;

        if (d->layer >= m->image.count || (m->image.overlay > 0 && d->layer == m->image.overlay))
                return err_set(err, EPROTO, "it has read a file that is no part of the image");
        if (unchanged_is_too_long(m, d))
                return err_set(err, EPROTO, "it reads more than there is");
        int r = unchanged_make_room(&m->unchanged, m->image.count, err);
        if (r < 0)
                return r;
        UnchangedFile *f = &m->unchanged.files[d->layer];
        if (f->known[after] || d->done > d->total ||
            (f->begun[after] && !d->is_done && d->done < f->done[after] + UNCHANGED_STEP))
                return err_set(err, EPROTO, "it reads without coming farther");
        f->begun[after] = true;
        f->done[after] = d->done;
        unchanged_tell(m, d);
        if (!d->is_done)
                return 0;
        f->known[after] = true;
        progressing_wipe(m);
        for (size_t i = 0; i < sizeof(d->sha256); i++)
                snprintf(f->sha256[after] + 2 * i, 3, "%02x", d->sha256[i]);
        unchanged_log(m, d, f);
        return 0;
}

int64_t unchanged_extend(const Manager *m, int64_t end_ms, int limit_ms)
{
        int64_t said = m->unchanged.said_ms;
        return said > 0 && said + limit_ms > end_ms ? said + limit_ms : end_ms;
}

static int unchanged_judge_file(const Manager *m, size_t layer, Err *err)
{
        const UnchangedFile *f = &m->unchanged.files[layer];
        const char *path = m->image.layers[layer].path;

        if (!f->known[0] && !f->known[1])
                return 0;
        if (!f->known[0] || !f->known[1])
                return err_set(err, ESTALE,
                               "%s was not read to its end again: whether it has changed is not "
                               "known (AssertUnchanged=)",
                               path);
        if (strcmp(f->sha256[0], f->sha256[1]) != 0)
                return err_set(err, ESTALE,
                               "%s has changed while it was shown (AssertUnchanged=): sha256 was "
                               "%s and is %s",
                               path, f->sha256[0], f->sha256[1]);
        return 0;
}

int unchanged_judge(const Manager *m, Err *err)
{
        int r = 0;

        if (!m->config->assert_unchanged)
                return 0;
        if (m->unchanged.count == 0 || !m->unchanged.files[0].known[0])
                return err_set(err, ESTALE,
                               "what it was before it was shown is not known "
                               "(AssertUnchanged=)");
        for (size_t i = 0; r >= 0 && i < m->unchanged.count; i++)
                r = unchanged_judge_file(m, i, err);
        return r;
}

void unchanged_done(Unchanged *u)
{
        free(u->files);
        *u = (Unchanged){ 0 };
}
