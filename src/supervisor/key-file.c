/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/key-file.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing is opened in earnest before it is known what it is: a fifo would block. */
static int key_file_check(const char *path, int fd, Err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (!S_ISREG(st.st_mode))
                return err_set(err, EINVAL, "is no regular file");
        if (st.st_mode & S_IRWXO)
                log_line(LOG_LEVEL_WARNING,
                         "%s: holds a passphrase, and is open to everybody (mode %04o)", path,
                         (unsigned)st.st_mode & 07777);
        return 0;
}

/* Straight to where it is wiped, and with no buffer between. */
static int key_file_take(int fd, Secret *s, Err *err)
{
        uint8_t more = 0;

        for (;;) {
                size_t room = SECRET_MAX - s->len;
                ssize_t n = read(fd, room > 0 ? s->bytes + s->len : &more, room > 0 ? room : 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return err_set(err, errno, "cannot read it: %m");
                if (n == 0)
                        break;
                if (room == 0)
                        return err_set(err, EFBIG, "holds more than %d bytes", SECRET_MAX);
                s->len += (size_t)n;
        }
        return s->len > 0 ? 0 : err_set(err, EINVAL, "is empty");
}

int key_file_read(const char *path, PathRule rule, Secret **ret, Err *err)
{
        _cleanup_close_ int found = -1, fd = -1;
        _cleanup_secret_ Secret *s = NULL;
        Err why = { "" };

        int r = safe_path_open(path, rule, PATH_READ, NULL, &found, &why);
        if (r == -EPERM)
                return err_set(err, EPERM, "%s", why.text);
        if (r < 0)
                return err_set(err, -r, "cannot open it: %s", why.text);
        r = key_file_check(path, found, err);
        if (r < 0)
                return r;
        r = safe_path_reopen(found, O_RDONLY | O_NOCTTY, &fd);
        if (r < 0)
                return err_set(err, -r, "cannot open it: %m");
        s = secret_new();
        if (!s)
                return err_set(err, ENOMEM, "%m");
        r = key_file_take(fd, s, err);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}
