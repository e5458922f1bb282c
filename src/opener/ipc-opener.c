/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opener/ipc-opener.h"

#include "base/cleanup.h"
#include "ipc/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `name` and `target` may be NULL. */
static int ipc_opener_add(
        IpcOpener *o, Store *s, uint32_t number, const char *name, const char *target, Err *err)
{
        _cleanup_free_ char *own = name ? strdup(name) : NULL;
        _cleanup_free_ char *copy = target ? strdup(target) : NULL;
        if ((target && !copy) || (name && !own))
                return err_set(err, ENOMEM, "%m");
        IpcLayer *layers = reallocarray(o->layers, o->layer_count + 1, sizeof(*layers));
        if (!layers)
                return err_set(err, ENOMEM, "%m");
        o->layers = layers;
        o->layers[o->layer_count++] =
                (IpcLayer){ .store = s, .number = number, .name = TAKE(own), .target = TAKE(copy) };
        return 0;
}

/* From the end: a store that was closed again may have had the same address. NULL: we never opened it. */
static const IpcLayer *ipc_opener_find(const IpcOpener *o, const Store *s)
{
        for (size_t i = o->layer_count; i-- > 0;)
                if (o->layers[i].store == s)
                        return &o->layers[i];
        return NULL;
}

const char *ipc_opener_target(const IpcOpener *o, const Store *s)
{
        const IpcLayer *layer = ipc_opener_find(o, s);
        return layer ? layer->target : NULL;
}

const char *ipc_opener_name(const IpcOpener *o, const Store *s)
{
        const IpcLayer *layer = ipc_opener_find(o, s);
        return layer ? layer->name : NULL;
}

bool ipc_opener_get_number(const IpcOpener *o, const Store *s, uint32_t *ret)
{
        const IpcLayer *layer = ipc_opener_find(o, s);
        if (layer)
                *ret = layer->number;
        return layer != NULL;
}

static int ipc_opener_ask(IpcOpener *o, uint32_t namer, const char *name, StoreMode mode, Err *err)
{
        Message m = { .kind = MESSAGE_OPEN };

        if (strlen(name) >= sizeof(m.open.name))
                return err_set(err, ENAMETOOLONG, "a name of %zu bytes is too long", strlen(name));
        m.open.namer = namer;
        m.open.writable = mode == STORE_WRITABLE;
        strcpy(m.open.name, name);
        return channel_send(o->channel, &m, -1, err);
}

static int ipc_opener_hear(IpcOpener *o, MessageOpened *ret, int *ret_fd, Err *err)
{
        _cleanup_message_ Message m;
        int fd = -1;

        int r = channel_receive(o->channel, &m, &fd, err);
        if (r < 0)
                return r;
        if (r == 0)
                return err_set(err, EPIPE, "the process that opens files for us is gone");
        if (m.kind == MESSAGE_REFUSED)
                return err_set(err, m.error.code > 0 ? m.error.code : EACCES, "%s", m.error.text);
        if (m.kind != MESSAGE_OPENED) {
                cleanup_close(&fd);
                return err_set(err, EPROTO, "OPEN was answered with message %u", m.kind);
        }
        *ret = m.opened;
        *ret_fd = fd;
        return 0;
}

static int ipc_opener_open(
        Opener *opener, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        IpcOpener *o = (IpcOpener *)opener;
        const IpcLayer *layer = ipc_opener_find(o, namer);
        MessageOpened opened;
        _cleanup_close_ int fd = -1;

        if (!layer)
                return err_set(err, EINVAL, "a file that was never opened names another");
        int r = ipc_opener_ask(o, layer->number, name, mode, err);
        if (r < 0)
                return r;
        r = ipc_opener_hear(o, &opened, &fd, err);
        if (r < 0)
                return r;

        _cleanup_store_ Store *s = NULL;
        r = store_open_fd(fd, mode, &s, err);
        if (r < 0)
                return r;
        fd_take(&fd);
        r = ipc_opener_add(o, s, opened.layer, name, opened.target[0] ? opened.target : NULL, err);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

/* Nothing of it stays in the message that brought it. */
static int ipc_opener_hear_secret(IpcOpener *o, Secret *ret, Err *err)
{
        _cleanup_message_ Message m;

        int r = channel_receive(o->channel, &m, NULL, err);
        if (r < 0)
                return r;
        if (r == 0)
                return err_set(err, EPIPE, "the process that has the passphrase is gone");
        if (m.kind == MESSAGE_REFUSED)
                return err_set(err, m.error.code > 0 ? m.error.code : ENOKEY, "%s", m.error.text);
        if (m.kind != MESSAGE_SECRET)
                return err_set(err, EPROTO, "SECRET_WANTED was answered with message %u", m.kind);
        ret->len = m.secret.len;
        memcpy(ret->bytes, m.secret.bytes, m.secret.len);
        return 0;
}

static int ipc_opener_get_secret(
        Opener *opener, Store *of, const char *what, Secret **ret, Err *err)
{
        IpcOpener *o = (IpcOpener *)opener;
        const IpcLayer *layer = ipc_opener_find(o, of);
        Message m = { .kind = MESSAGE_SECRET_WANTED };
        _cleanup_secret_ Secret *s = NULL;

        if (!layer)
                return err_set(err, EINVAL, "a file that was never opened wants a passphrase");
        m.secret_wanted.layer = layer->number;
        snprintf(m.secret_wanted.what, sizeof(m.secret_wanted.what), "%s", what);
        s = secret_new();
        if (!s)
                return err_set(err, ENOMEM, "%m");
        int r = channel_send(o->channel, &m, -1, err);
        if (r >= 0)
                r = ipc_opener_hear_secret(o, s, err);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

int ipc_opener_init(IpcOpener *o, int channel, Store *top, Err *err)
{
        *o = (IpcOpener){
                .opener = { .open = ipc_opener_open, .get_secret = ipc_opener_get_secret },
                .channel = channel,
        };
        return ipc_opener_add(o, top, 0, NULL, NULL, err);
}

int ipc_opener_know(IpcOpener *o, Store *s, uint32_t number, Err *err)
{
        return ipc_opener_add(o, s, number, NULL, NULL, err);
}

void ipc_opener_done(IpcOpener *o)
{
        for (size_t i = 0; i < o->layer_count; i++) {
                free(o->layers[i].name);
                free(o->layers[i].target);
        }
        free(o->layers);
        o->layers = NULL;
        o->layer_count = 0;
}
