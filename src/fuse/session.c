/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuse/session.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
        const SessionUser *user = userdata;
        ssize_t len = 0;

        for (int i = 0; i < count; i++)
                len += (ssize_t)iov[i].iov_len;
        /* The kernel has its answer to FUSE_INIT already. Any other answer that it does not take concerns a request
         * that is over: its client was killed, or the file system is gone, which the next read tells. */
        if (!user->replaying) {
                ssize_t n = writev(fd, iov, count);
                (void)n;
        }
        return len;
}

/* libfuse wants one; who serves reads by itself. */
static ssize_t session_read(int fd, void *buf, size_t len, void *userdata)
{
        return read(fd, buf, len);
}

static const struct fuse_custom_io session_io = {
        .writev = session_writev,
        .read = session_read,
};

int session_new(const struct fuse_lowlevel_ops *ops,
                SessionUser *user,
                int fd,
                struct fuse_session **ret,
                Err *err)
{
        char name[] = "rawview";
        char *argv[] = { name, NULL };
        struct fuse_args args = FUSE_ARGS_INIT(1, argv);

        struct fuse_session *s = fuse_session_new(&args, ops, sizeof(*ops), user);
        fuse_opt_free_args(&args);
        if (!s)
                return err_set(err, ENOMEM, "libfuse gives no session");
        int r = fuse_session_custom_io(s, &session_io, fd);
        if (r < 0) {
                fuse_session_destroy(s);
                return err_set(err, -r, "libfuse does not take the descriptor of /dev/fuse: %m");
        }
        *ret = s;
        return 0;
}

int session_replay(struct fuse_session *s,
                   SessionUser *user,
                   const void *request,
                   size_t len,
                   void *buf,
                   Err *err)
{
        struct fuse_buf copy = { .mem = buf, .size = len };

        memcpy(buf, request, len);
        user->replaying = true;
        fuse_session_process_buf(s, &copy);
        user->replaying = false;
        if (!user->ready)
                return err_set(err, EBADMSG, "libfuse does not understand this kernel's FUSE_INIT");
        return 0;
}
