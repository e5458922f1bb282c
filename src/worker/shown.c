/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker/shown.h"

#include "base/cleanup.h"
#include "base/memory-limit.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/probe.h"
#include "format/formats.h"
#include "ipc/channel.h"
#include "opener/ipc-opener.h"
#include "worker/repair-teller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* The broker's number of the overlay, which it has before it is asked for anything. */
        SHOWN_OVERLAY = 1,
};

/* What is written past the end of a view that the kernel writes to by itself makes the file longer. That is right only where
 * the view may grow, and where the size of the file is that of the disk: a raw image. */
static uint32_t shown_find_plain(const Shown *s, const MessageImage *image, const IpcOpener *opener)
{
        uint32_t number = 0;

        if (image->has_overlay || s->window.is_part || s->table ||
            (image->writable && (!image->growable || s->format != &format_raw)))
                return 0;
        const Store *plain = node_get_plain(s->node);
        return plain && ipc_opener_get_number(opener, plain, &number) ? number + 1 : 0;
}

/* It comes right behind the image. */
static int shown_receive_overlay(Shown *s, int channel, Err *err)
{
        _cleanup_close_ int fd = -1;
        Message m;

        int r = channel_receive(channel, &m, &fd, err);
        if (r < 0)
                return r;
        if (r == 0)
                return err_set(err, EPIPE, "the supervisor is gone");
        if (m.kind != MESSAGE_OVERLAY)
                return err_set(err, EPROTO, "message %u came where %u was expected", m.kind,
                               MESSAGE_OVERLAY);
        s->overlay = m.overlay;
        r = store_open_fd(fd, s->overlay.is_volatile ? STORE_VOLATILE : STORE_WRITABLE, &s->over,
                          err);
        if (r < 0)
                return err_prefix(err, r, "overlay %s", s->overlay.path);
        fd_take(&fd);
        return 0;
}

/* A new one first becomes an image, over the one that is open. */
static int shown_lay_over(Shown *s, const ChainRequest *request, Err *err)
{
        const Format *qcow2 = format_find(all_formats, "qcow2");
        Creation creation = {
                .size = node_get_size(s->node),
                .backing_name = s->overlay.backing,
                .backing_format = format_qemu_name(s->format),
        };
        int r = 0;

        if (s->overlay.is_new)
                r = qcow2->create(s->over, &creation, err);
        if (r >= 0)
                r = chain_lay_over(request, qcow2, s->over, s->top, &s->top, err);
        if (r >= 0)
                s->node = s->top;
        return r;
}

static int shown_open_overlay(Shown *s, const ChainRequest *request, IpcOpener *opener, Err *err)
{
        int r = ipc_opener_know(opener, s->over, SHOWN_OVERLAY, err);
        if (r >= 0)
                r = shown_lay_over(s, request, err);
        if (r < 0)
                return err_prefix(err, r, "overlay %s", s->overlay.path);
        TAKE(s->over);
        return 0;
}

static int shown_find_layer(Shown *s, const MessageImage *image, Err *err)
{
        unsigned count = 0;

        s->node = chain_find_layer(s->top, image->layer);
        if (s->node)
                return 0;
        for (const Node *n = s->top; n; n = n->backing)
                count++;
        return err_set(err, ENOENT, "there is no layer %u: the image has %u, the lowest is %u",
                       image->layer, count, count - 1);
}

static int shown_open_chain(Shown *s, const MessageImage *image, int channel, Store *top, Err *err)
{
        _cleanup_store_ Store *owned = top;
        const char *slash = strrchr(image->path, '/');
        _cleanup_ipc_opener_ IpcOpener opener = { 0 };
        RepairTeller teller;

        repair_teller_init(&teller, channel);
        int r = ipc_opener_init(&opener, channel, top, err);
        if (r < 0)
                return r;

        ChainRequest request = {
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = strcmp(image->format, "auto") == 0 ? NULL : image->format,
                .writable = image->writable && !image->has_overlay,
                .file_name = slash ? slash + 1 : image->path,
                .layer = image->layer,
                .layer_alone = image->layer_alone,
                .snapshot = image->snapshot[0] ? image->snapshot : NULL,
                .opener = &opener.opener,
                .listener = repair_teller_listener(&teller),
                .cache = s->cache,
        };
        r = chain_open(&request, top, &s->top, err);
        if (r < 0)
                return r;
        TAKE(owned);
        r = shown_find_layer(s, image, err);
        if (r < 0)
                return r;
        s->format = s->node->format;
        s->guessed = s->node->guessed;
        if (image->assert_unchanged)
                r = digests_list(&s->digests, s->top, &opener, image->path, err);
        if (r >= 0 && image->has_overlay)
                r = shown_open_overlay(s, &request, &opener, err);
        if (r >= 0 && image->sector_size > 0)
                s->node->sector_size = image->sector_size;
        if (r >= 0)
                r = window_choose(image, s->node, &s->window, err);
        if (r >= 0 && image->partitions)
                r = window_read_table(s->node, &s->table, err);
        if (r >= 0)
                s->plain = shown_find_plain(s, image, &opener);
        return r;
}

int shown_open(Shown *s, const MessageImage *image, int channel, int fd, Err *err)
{
        bool writable = image->writable && !image->has_overlay;
        _cleanup_close_ int owned = fd;
        Store *top = NULL;

        *s = (Shown){ 0 };
        int r = image->has_overlay ? shown_receive_overlay(s, channel, err) : 0;
        if (r < 0)
                return r;
        r = cache_new(image->cache_size, &s->cache);
        if (r < 0)
                return err_set(err, -r, "cannot make a cache: %m");
        r = store_open_fd(owned, writable ? STORE_WRITABLE : STORE_READ_ONLY, &top, err);
        if (r < 0)
                return r;
        fd_take(&owned);
        r = shown_open_chain(s, image, channel, top, err);
        if (r < 0)
                return r;
        /* No passphrase is tried any more. */
        r = memory_limit_settle();
        if (r < 0)
                return err_set(err, -r, "cannot limit memory: %m");
        return digests_read(&s->digests, channel, err);
}

void shown_done(Shown *s)
{
        digests_done(&s->digests);
        s->over = store_free(s->over);
        free(TAKE(s->table));
        s->top = node_close(s->top);
        s->cache = cache_free(s->cache);
}
