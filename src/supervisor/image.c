/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/image.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* O_NONBLOCK: a fifo does not block us; it is refused right afterwards. */
static int image_open_file(const Config *c, int *ret, Err *err)
{
        int mode = c->writable ? O_RDWR : O_RDONLY;
        struct stat st;

        _cleanup_close_ int fd = open(c->path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && errno == ENOTCONN)
                return err_set(err, errno,
                               "is covered by a dead view; 'rawview umount --stale' "
                               "takes it away");
        if (fd < 0)
                return err_set(err, errno, "cannot open it%s: %m",
                               c->writable ? " for writing" : "");
        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return err_set(err, EINVAL, "is neither a regular file nor a block device");
        if (fcntl(fd, F_SETFL, 0) < 0)
                return err_set(err, errno, "cannot change its flags: %m");
        *ret = fd_take(&fd);
        return 0;
}

static void image_warn(const char *path, const char *text)
{
        log_line(LOG_LEVEL_WARNING, "%s: %s", path, text);
}

int image_open(const Config *c, Broker *ret, Err *err)
{
        BrokerRules rules = {
                .policy = c->references,
                .allowed = c->allowed_paths,
                .given = c->path,
                .writable = c->writable,
                .force_share = c->force_share,
                .lock_help = "--force-share (ForceShare=yes) shows it all the same, read-only",
                .warn = image_warn,
        };
        _cleanup_close_ int fd = -1;

        int r = image_open_file(c, &fd, err);
        if (r < 0)
                return r;
        r = broker_init(ret, &rules, fd, err);
        if (r < 0)
                return r;
        fd_take(&fd);
        if (c->force_share)
                image_warn(ret->layers[0].path,
                           "no image locks are taken or tested (ForceShare=yes): while another "
                           "program writes to it, what is read may be inconsistent");
        return 0;
}
