/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/image.h"

#include "base/cleanup.h"
#include "block/chain.h"
#include "block/limits.h"
#include "cli/daemon.h"
#include "format/formats.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* All that is needed is open now, unless the image may name more. */
static int image_confine(int fd, Err *err)
{
        SandboxOptions options = {
                .keep = &fd,
                .keep_count = 1,
                .cache_size = LIMIT_CACHE_DEFAULT,
        };
        SandboxReport report;

        return sandbox_enter(&options, &report, err);
}

static int image_open_top(const ImageRequest *request, Image *i, Store **ret, Err *err)
{
        const char *file = request->file;
        _cleanup_free_ char *path = realpath(file, NULL);
        _cleanup_free_ char *given = NULL;
        _cleanup_store_ Store *s = NULL;
        StoreMode mode = request->writable ? STORE_WRITABLE : STORE_READ_ONLY;
        /* Without O_NONBLOCK a fifo would keep us waiting before it is refused. */
        int access = request->writable ? O_RDWR : O_RDONLY;
        _cleanup_close_ int fd = path ? open(path, access | O_CLOEXEC | O_NONBLOCK) : -1;

        if (fd < 0)
                return err_set(err, errno, "%m");
        int r = file_opener_lock(&i->opener, fd, mode, err);
        if (r < 0)
                return r;
        r = store_open_fd(fd, mode, &s, err);
        if (r < 0)
                return r;
        int kept = fd_take(&fd);
        r = daemon_make_absolute(file, &given, err);
        if (r < 0)
                return r;
        r = file_opener_set_given(&i->opener, given, err);
        if (r < 0)
                return r;
        r = file_opener_add(&i->opener, s, path, err);
        if (r >= 0 && !request->with_chain)
                r = image_confine(kept, err);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

int image_open(const ImageRequest *request, Image *i, Err *err)
{
        _cleanup_store_ Store *top = NULL;

        *i = (Image){ 0 };
        file_opener_init(&i->opener, request->references, request->allowed);
        i->opener.force_share = request->force_share;
        int r = image_open_top(request, i, &top, err);
        if (r < 0)
                return r;
        r = cache_new(LIMIT_CACHE_DEFAULT, &i->cache);
        if (r < 0)
                return err_set(err, -r, "%m");

        ChainRequest chain = {
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = request->format,
                .writable = request->writable,
                .for_check = request->for_check,
                .opener = request->with_chain ? &i->opener.opener : NULL,
                .cache = i->cache,
        };
        r = chain_open(&chain, top, &i->node, err);
        if (r >= 0)
                TAKE(top);
        return r;
}

void image_done(Image *i)
{
        i->node = node_close(i->node);
        i->cache = cache_free(i->cache);
        file_opener_done(&i->opener);
}
