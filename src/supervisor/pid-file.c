/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/pid-file.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
        PID_TEXT_MAX = 32,
};

static void pid_file_done(PidFile *f)
{
        cleanup_close(&f->folder);
        cleanup_close(&f->fd);
        *f = PID_FILE_NONE;
}

/* Nobody but root and the caller may lead us to a folder where a file would be made: not even an empty one. */
static int pid_file_find_folder(const char *path, PathRule rule, PidFile *f, Err *err)
{
        PathChooser chooser = { 0 };
        char folder[PATH_MAX], user[64];

        f->name = strrchr(path, '/') + 1;
        int len = (int)(f->name - path);
        if (snprintf(folder, sizeof(folder), "%.*s", len, path) >= (int)sizeof(folder))
                return err_set(err, ENAMETOOLONG, "%m");
        int r = safe_path_open(folder, rule, PATH_FOLDER, &chooser, &f->folder, err);
        if (r < 0 || !chooser.known)
                return r;
        safe_path_name_user(chooser.uid, user);
        return err_set(err, EPERM, "refused: %s, on the way to it, belongs to %s", chooser.why,
                       user);
}

/* Empty, or a number: a slip of the fingers must not cost a file. */
static int pid_file_check_text(int fd, Err *err)
{
        char text[PID_TEXT_MAX];

        ssize_t n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return err_set(err, errno, "cannot read it: %m");
        text[n] = '\0';
        if (n == sizeof(text) - 1 || text[strspn(text, "0123456789\n")])
                return err_set(err, EEXIST, "is there already, and is no pid file");
        return 0;
}

static int pid_file_check(const PidFile *f, PathRule rule, Err *err)
{
        char owner[64];
        struct stat st;

        if (fstat(f->fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (!S_ISREG(st.st_mode))
                return err_set(err, EINVAL, "is not a regular file");
        if (rule != PATH_RULE_KERNEL && st.st_uid != geteuid()) {
                safe_path_name_user(st.st_uid, owner);
                return err_set(err, EPERM, "refused: it belongs to %s", owner);
        }
        if (st.st_nlink > 1)
                return err_set(err, EPERM, "refused: it has %lu names (hard links)",
                               (unsigned long)st.st_nlink);
        return pid_file_check_text(f->fd, err);
}

static int pid_file_fill(const PidFile *f, Err *err)
{
        char text[PID_TEXT_MAX];

        int len = snprintf(text, sizeof(text), "%d\n", getpid());
        if (lseek(f->fd, 0, SEEK_SET) < 0 || ftruncate(f->fd, 0) < 0 ||
            write(f->fd, text, (size_t)len) != len)
                return err_set(err, errno, "%m");
        return 0;
}

int pid_file_write(const char *path, PathRule rule, PidFile *ret, Err *err)
{
        PidFile f = PID_FILE_NONE;

        int r = pid_file_find_folder(path, rule, &f, err);
        if (r >= 0) {
                f.fd = openat(f.folder, f.name,
                              O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                              0644);
                r = f.fd < 0 ? err_set(err, errno, "%m") : pid_file_check(&f, rule, err);
        }
        if (r >= 0)
                r = pid_file_fill(&f, err);
        if (r < 0) {
                pid_file_done(&f);
                return r;
        }
        *ret = f;
        return 0;
}

void pid_file_withdraw(PidFile *f)
{
        struct stat ours, there;

        if (f->fd >= 0 && fstat(f->fd, &ours) == 0 &&
            fstatat(f->folder, f->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
            ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
                unlinkat(f->folder, f->name, 0);
        pid_file_done(f);
}
