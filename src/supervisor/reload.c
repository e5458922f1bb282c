/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/reload.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/size.h"
#include "config/difference.h"
#include "ipc/channel.h"
#include "supervisor/image.h"
#include "supervisor/log-level.h"
#include "supervisor/ready.h"
#include "supervisor/status.h"
#include "supervisor/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
        /* A worker does nothing else in between than tell of faults. */
        RELOAD_ANSWER_MS = 10 * 1000,
};

typedef struct Reload {
        Manager *m;
        Config wanted;
        ConfigDifference differences[CONFIG_KEYS_MAX];
        size_t count;
        char unit[256]; /* whose restart does the rest */
} Reload;

static void reload_done(Reload *r)
{
        config_done(&r->wanted);
}

/* " Key=" to a text of that size, or nothing when it does not fit. */
static void reload_append(char *text, size_t size, const char *key, const char *value)
{
        size_t used = strlen(text);

        if (used + strlen(key) + strlen(value) + 4 < size)
                snprintf(text + used, size - used, "%s%s=%s", used > 0 ? ", " : "", key, value);
}

static void reload_name_source(const Reload *r, const ConfigDifference *d, char *ret, size_t size)
{
        if (d->source)
                snprintf(ret, size, "%s", d->source);
        else
                snprintf(ret, size, "%s.image", r->m->options->instance);
}

/* `why`: begins with a blank, or is "". */
static void reload_postpone(const Reload *r, const ConfigDifference *d, const char *why)
{
        Manager *m = r->m;
        char source[1024];

        reload_name_source(r, d, source, sizeof(source));
        log_line(LOG_LEVEL_NOTICE, "%s: %s= has changed%s: it takes effect when %s is restarted",
                 source, d->key, why, r->unit);
        if (!m->reload_note[0])
                snprintf(m->reload_note, sizeof(m->reload_note), "restart for ");
        size_t used = strlen(m->reload_note);
        snprintf(m->reload_note + used, sizeof(m->reload_note) - used,
                 "%s%s=", m->reload_note[used - 1] == ' ' ? "" : ", ", d->key);
}

/* What the worker has to do for it, as a bit of MESSAGE_CHANGE. */
static uint32_t reload_bit(const ConfigDifference *d)
{
        switch (d->effect) {
        case CONFIG_SETS_OWNER:
                return MESSAGE_CHANGE_UID;
        case CONFIG_SETS_GROUP:
                return MESSAGE_CHANGE_GID;
        case CONFIG_SETS_MODE:
                return MESSAGE_CHANGE_MODE;
        case CONFIG_SETS_CACHE_SIZE:
                return MESSAGE_CHANGE_CACHE;
        case CONFIG_AT_RESTART:
        case CONFIG_AT_BOOT:
        case CONFIG_SETS_LOG_LEVEL:
                break;
        }
        return 0;
}

/* What was opened for root alone does not come before other eyes. */
static bool reload_must_hide(const Reload *r, const ConfigDifference *d)
{
        return (reload_bit(d) & MESSAGE_CHANGE_OF_FILE) && r->m->image.is_for_root &&
               image_is_for_others(&r->wanted);
}

/* Names what a restart has to do. Gives what the worker is to be asked for. */
static uint32_t reload_sort(const Reload *r)
{
        uint32_t what = 0;

        for (size_t i = 0; i < r->count; i++) {
                const ConfigDifference *d = &r->differences[i];
                if (d->effect == CONFIG_AT_RESTART)
                        reload_postpone(r, d, "");
                else if (reload_must_hide(r, d))
                        reload_postpone(r, d,
                                        ", but the image names files that were opened for root "
                                        "alone");
                else
                        what |= reload_bit(d);
        }
        return what;
}

static int reload_wait(Manager *m, Err *err)
{
        int64_t end = watch_now_ms() + RELOAD_ANSWER_MS;

        while (m->changes_unanswered > 0) {
                int64_t left = end - watch_now_ms();
                if (m->worker_gone || m->failure_code != 0 || m->stage != STAGE_SERVING)
                        return err_set(err, ECHILD, "the view has ended");
                if (m->stop_asked)
                        return err_set(err, ECANCELED, "the view is being ended");
                if (left <= 0)
                        return err_set(err, ETIMEDOUT, "the worker does not answer");
                int r = watch_step(m, -1, (int)left);
                if (r < 0)
                        return err_set(err, -r, "cannot wait: %m");
        }
        return 0;
}

static int reload_ask_worker(const Reload *r, uint32_t what, Err *err)
{
        Message message = { .kind = MESSAGE_CHANGE };
        MessageChange *change = &message.change;
        Manager *m = r->m;

        if (m->worker.channel < 0)
                return err_set(err, ECHILD, "the worker is gone");
        change->what = what;
        manager_get_owner(&r->wanted, &change->uid, &change->gid);
        change->mode = r->wanted.mode;
        change->cache_size = r->wanted.cache_size;
        int result = channel_send(m->worker.channel, &message, -1, err);
        if (result < 0)
                return result;
        m->changes_unanswered++;
        return reload_wait(m, err);
}

/* What a key is set to now; "" also where there is no memory to say it. */
static void reload_adopt(Reload *r, const ConfigDifference *d, char *applied, size_t size)
{
        ConfigSetting s = { 0 };

        config_adopt(r->m->config, &r->wanted, d);
        int result = config_get_setting(r->m->config, d->index, &s);
        _cleanup_free_ char *text = s.text;
        reload_append(applied, size, d->key, result > 0 ? text : "");
}

/* The view needs more, or the worker has not the addresses for so much. */
static void reload_take_cache_size(Reload *r, const ConfigDifference *d)
{
        Manager *m = r->m;
        uint64_t wanted = m->config->cache_size, is = m->changed.cache_size;
        char wanted_text[SIZE_TEXT_MAX], is_text[SIZE_TEXT_MAX], why[128];

        size_format(wanted, wanted_text);
        size_format(is, is_text);
        if (is > wanted)
                log_line(LOG_LEVEL_NOTICE,
                         "%s: CacheSize=%s is less than the view needs: it is %s now",
                         m->config->path, wanted_text, is_text);
        if (is >= wanted)
                return;
        snprintf(why, sizeof(why), " to %s, of which a view that is up takes %s", wanted_text,
                 is_text);
        reload_postpone(r, d, why);
        m->config->cache_size = is;
}

static void reload_refuse(const Reload *r, const ConfigDifference *d)
{
        char source[1024];

        reload_name_source(r, d, source, sizeof(source));
        errno = r->m->changed.code;
        if (r->m->changed.code == EPERM)
                log_line(LOG_LEVEL_WARNING,
                         "%s: %s= has changed, but only the owner of the view can use it "
                         "(it is shown without allow_other), so owner and mode stay as they are",
                         source, d->key);
        else
                log_line(LOG_LEVEL_WARNING,
                         "%s: %s= has changed, but the worker could not do it: %m", source, d->key);
}

/* `done`: what the worker has done. */
static void reload_take_answer(Reload *r, uint32_t asked, uint32_t done)
{
        char applied[512] = "";

        for (size_t i = 0; i < r->count; i++) {
                const ConfigDifference *d = &r->differences[i];
                uint32_t bit = reload_bit(d);
                if (bit & asked & ~done)
                        reload_refuse(r, d);
                if (d->effect == CONFIG_SETS_LOG_LEVEL || (bit & done))
                        reload_adopt(r, d, applied, sizeof(applied));
                if (bit & done & MESSAGE_CHANGE_CACHE)
                        reload_take_cache_size(r, d);
        }
        if (applied[0])
                log_line(LOG_LEVEL_INFO, "%s: from now on %s", r->m->config->path, applied);
        log_set_max(log_level_choose(r->m->options->level, r->m->config->log_level));
}

static void reload_apply(Reload *r)
{
        uint32_t asked = reload_sort(r), done = 0;
        Err err = { "" };

        if (asked) {
                if (reload_ask_worker(r, asked, &err) >= 0) {
                        done = r->m->changed.what & asked;
                } else {
                        log_line(LOG_LEVEL_ERROR, "%s: cannot be changed now: %s",
                                 r->m->config->path, err.text);
                        snprintf(r->m->reload_note, sizeof(r->m->reload_note),
                                 "the last reload failed");
                        asked = 0;
                }
        }
        reload_take_answer(r, asked, done);
}

static void reload_find_unit(char *ret, size_t size)
{
        ready_get_unit(ret, size);
        char *end = strrchr(ret, '.');
        if (end)
                *end = '\0';
        else
                snprintf(ret, size, "the view");
}

static void reload_read(Manager *m)
{
        _cleanup_(reload_done) Reload r = { .m = m };

        config_init(&r.wanted);
        if (m->options->read(m->options->read_arg, &r.wanted) < 0) {
                log_line(LOG_LEVEL_NOTICE, "%s: is shown as before", m->config->path);
                snprintf(m->reload_note, sizeof(m->reload_note), "the last reload failed");
                return;
        }
        config_keep_defaults(m->config, &r.wanted);
        if (config_compare(m->config, &r.wanted, r.differences, &r.count) < 0) {
                log_line(LOG_LEVEL_ERROR, "%s: no memory to reload", m->config->path);
                return;
        }
        reload_find_unit(r.unit, sizeof(r.unit));
        if (r.count == 0)
                log_line(LOG_LEVEL_INFO, "%s: its descriptor says nothing new", m->config->path);
        reload_apply(&r);
}

/* RELOADING=1 is sent before the signal is taken: where it is no longer pending, the service manager knows already
 * (supervisor/pending.h). Whoever asks from then on may have changed what is being read, and is served after this. */
static void reload_begin(Manager *m)
{
        struct signalfd_siginfo s;

        status_reloading(m);
        ssize_t n = read(m->hangups, &s, sizeof(s));
        (void)n;
        m->reload_asked = false;
        m->reload_note[0] = '\0';
}

void reload_run(Manager *m)
{
        reload_begin(m);
        if (m->options->read)
                reload_read(m);
        else
                log_line(LOG_LEVEL_NOTICE,
                         "%s: there is nothing to read again: the view has no descriptor",
                         m->config->path);
        status_ready(m);
}
