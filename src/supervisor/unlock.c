/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/unlock.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/utf8.h"
#include "ipc/channel.h"
#include "supervisor/manager.h"
#include "supervisor/notify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
        /* As cryptsetup. */
        UNLOCK_TRIES_MAX = 3,
        /* A boot must not wait for ever for a person who is not there. While an image is being opened the service manager is
         * asked for more time than three of these take. */
        UNLOCK_LIMIT_S = 90,
};

/* All that the worker is told; the reason takes its place at the end of a sentence. */
#define UNLOCK_NONE "no passphrase"
#define UNLOCK_WRONG "wrong passphrase"

static PassphraseSources unlock_sources(const Manager *m)
{
        return (PassphraseSources){
                .key_file = m->config->key_file,
                .instance = m->options->instance,
                .rule = m->options->rule,
        };
}

static int unlock_send(Manager *m, const Secret *s, Err *err)
{
        _cleanup_message_ Message answer = { .kind = MESSAGE_SECRET };

        m->unlock.is_given = true;
        answer.secret.len = (uint32_t)s->len;
        memcpy(answer.secret.bytes, s->bytes, s->len);
        return channel_send(m->worker.channel, &answer, -1, err);
}

/* `u->refusal` says why. */
static int unlock_refuse(Manager *m, int code, Err *err)
{
        Message answer = { .kind = MESSAGE_REFUSED, .error.code = code };

        m->unlock.refusal_code = code;
        strcpy(answer.error.text, code == EKEYREJECTED ? UNLOCK_WRONG : UNLOCK_NONE);
        return channel_send(m->worker.channel, &answer, -1, err);
}

static int unlock_refuse_wrong(Manager *m, Err *err)
{
        Unlock *u = &m->unlock;

        if (u->is_personal)
                err_set(&u->refusal, EKEYREJECTED, UNLOCK_WRONG " (%u were tried)",
                        UNLOCK_TRIES_MAX);
        else
                err_set(&u->refusal, EKEYREJECTED, UNLOCK_WRONG " (from %s%s)", u->from,
                        u->has_newline ? "; the newline at its end counts, `printf %s` writes none"
                                       : "");
        return unlock_refuse(m, EKEYREJECTED, err);
}

/* `why` is a few words about a person who was or could not be asked. */
static int unlock_refuse_none(Manager *m, const char *why, Err *err)
{
        PassphraseSources sources = unlock_sources(m);
        char ways[320];

        m->unlock.gave_up = true;
        passphrase_explain(&sources, ways, sizeof(ways));
        err_set(&m->unlock.refusal, ENOKEY, UNLOCK_NONE " (%s): %s", why, ways);
        return unlock_refuse(m, ENOKEY, err);
}

static void unlock_tell(const Manager *m, bool on_terminal, const char *path)
{
        notify_status("", "%s: a passphrase is awaited%s", path,
                      on_terminal ? "" : " (systemd-tty-ask-password-agent takes it)");
        if (!on_terminal)
                log_line(
                        LOG_LEVEL_NOTICE,
                        "%s: a passphrase is needed; asking for it for %d s (systemd-ask-password)",
                        path, UNLOCK_LIMIT_S);
}

static int unlock_ask(Manager *m, const MessageSecretWanted *wanted, Err *err)
{
        const char *path = m->image.layers[wanted->layer].path;
        bool on_terminal = ask_may_use_terminal(STDIN_FILENO);
        Unlock *u = &m->unlock;
        char text[1024], id[256];
        AskQuestion question = { .text = text, .id = id, .limit_s = UNLOCK_LIMIT_S };
        Err why = { "" };
        int r;

        if (!on_terminal && (geteuid() != 0 || sd_booted() <= 0))
                return unlock_refuse_none(m, "there is nobody to ask", err);
        snprintf(text, sizeof(text), "%sPassphrase of %.900s (%s):",
                 u->asked[wanted->layer] > 1 ? "That was wrong. " : "", path, wanted->what);
        snprintf(id, sizeof(id), "rawview:%.200s",
                 m->options->instance ? m->options->instance : path);
        utf8_make_printable(text);
        utf8_make_printable(id);
        if (on_terminal)
                r = ask_on_terminal(&question, STDIN_FILENO, &u->ask, &why);
        else
                r = ask_agents(&question, &u->ask, &why);
        if (r < 0)
                return unlock_refuse_none(m, why.text, err);
        u->is_asking = u->is_personal = true;
        u->layer = wanted->layer;
        unlock_tell(m, on_terminal, path);
        return 0;
}

/* Once more: the last one was wrong. What lies somewhere is no other than it was. */
static int unlock_take_again(Manager *m, const MessageSecretWanted *wanted, Err *err)
{
        if (!m->unlock.is_given)
                return unlock_refuse(m, ENOKEY, err);
        if (!m->unlock.is_personal || m->unlock.asked[wanted->layer] > UNLOCK_TRIES_MAX)
                return unlock_refuse_wrong(m, err);
        return unlock_ask(m, wanted, err);
}

int unlock_take(Manager *m, const MessageSecretWanted *wanted, Err *err)
{
        PassphraseSources sources = unlock_sources(m);
        _cleanup_secret_ Secret *s = NULL;
        Unlock *u = &m->unlock;

        int r = broker_check_secret_wanted(&m->image, wanted, err);
        if (r < 0)
                return r;
        if (u->gave_up)
                return unlock_refuse(m, u->refusal_code, err);
        if (++u->asked[wanted->layer] > 1)
                return unlock_take_again(m, wanted, err);
        r = passphrase_find(&sources, &s, u->from, &u->refusal);
        if (r < 0) {
                u->gave_up = true;
                err_prefix(&u->refusal, r, UNLOCK_NONE);
                return unlock_refuse(m, ENOKEY, err);
        }
        if (r == 0)
                return unlock_ask(m, wanted, err);
        u->is_personal = false;
        u->has_newline = secret_ends_with_newline(s);
        log_line(LOG_LEVEL_DEBUG, "%s: the passphrase comes from %s",
                 m->image.layers[wanted->layer].path, u->from);
        return unlock_send(m, s, err);
}

int unlock_poll_fd(const Unlock *u)
{
        return u->is_asking ? u->ask.fd : -1;
}

int unlock_limit(const Unlock *u, int timeout_ms)
{
        if (!u->is_asking)
                return timeout_ms;
        int left = ask_left_ms(&u->ask);
        return timeout_ms < 0 || left < timeout_ms ? left : timeout_ms;
}

int unlock_go_on(Manager *m, bool readable, Err *err)
{
        _cleanup_secret_ Secret *s = NULL;
        Unlock *u = &m->unlock;
        Err why = { "" };

        if (!u->is_asking)
                return 0;
        int r = ask_take(&u->ask, readable, &why);
        if (r == 0)
                return 0;
        s = TAKE(u->ask.heard);
        unlock_done(u);
        if (r < 0)
                return unlock_refuse_none(m, why.text, err);
        notify_status("", "%s is being opened", m->config->path);
        return unlock_send(m, s, err);
}

int unlock_explain(const Unlock *u, int r, Err *err)
{
        const char *told = r == -EKEYREJECTED ? UNLOCK_WRONG : UNLOCK_NONE;
        size_t len = strlen(err->text), told_len = strlen(told);
        Err said = *err;

        if (u->refusal_code == 0 || r != -u->refusal_code)
                return r;
        if (len < told_len || strcmp(said.text + len - told_len, told) != 0)
                return err_set(err, -r, "%s: %s", said.text, u->refusal.text);
        return err_set(err, -r, "%.*s%s", (int)(len - told_len), said.text, u->refusal.text);
}

void unlock_done(Unlock *u)
{
        if (u->is_asking)
                ask_done(&u->ask);
        u->is_asking = false;
}
