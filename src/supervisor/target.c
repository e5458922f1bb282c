/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/target.h"

#include "base/attempt.h"
#include "base/cleanup.h"
#include "base/fd-path.h"
#include "base/mountinfo.h"
#include "supervisor/fusermount.h"
#include "supervisor/look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum {
        /* Dead views lying one over another. */
        TARGET_STALE_MAX = 8,
        /* STATX_MNT_ID_UNIQUE of Linux 6.8, which <linux/stat.h> of Debian 12 does not know. */
        TARGET_STATX_MNT_ID_UNIQUE = 0x4000,
};

/* The absolute path of `path` with its folder resolved, and that folder. The last part is left as it is. */
static int target_find_parent(const char *path, Target *t, Err *err)
{
        char folder[PATH_MAX];
        _cleanup_free_ char *real = NULL;
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;

        if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return err_set(err, EISDIR, "is a folder, not a regular file");
        if (strlen(path) >= sizeof(folder))
                return err_set(err, ENAMETOOLONG, "%m");
        if (!slash)
                snprintf(folder, sizeof(folder), ".");
        else
                snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path);

        int r = safe_path_open(folder, t->rule, PATH_FOLDER, &t->chooser, &t->parent, err);
        if (r < 0)
                return r;
        r = fd_path(t->parent, &real, err);
        if (r < 0)
                return r;
        if (asprintf(&t->path, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0) {
                t->path = NULL;
                return err_set(err, ENOMEM, "%m");
        }
        t->name = strrchr(t->path, '/') + 1;
        return 0;
}

static int target_open_top(const Target *t, Err *err)
{
        int fd = openat(t->parent, t->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return err_set(err, errno, errno == ENOENT ? "does not exist" : "%m");
        return fd;
}

/* Is this the folder for mount points that go with the next boot, or with the last session of a user? */
static bool target_lies_in_run_folder(const Target *t)
{
        const char *run = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
        char folder[PATH_MAX];
        struct stat wanted, is;

        if (!run || run[0] != '/' || strlen(run) >= sizeof(folder) - sizeof("/rawview"))
                return false;
        snprintf(folder, sizeof(folder), "%s/rawview", run);
        return stat(folder, &wanted) == 0 && fstat(t->parent, &is) == 0 &&
               wanted.st_dev == is.st_dev && wanted.st_ino == is.st_ino;
}

/* Nobody else could make it in time there: at boot the folder is empty. It stays for the next start. */
static int target_make(const Target *t, Err *err)
{
        if (!target_lies_in_run_folder(t))
                return -ENOENT;
        if (t->is_folder) {
                if (mkdirat(t->parent, t->name, 0700) < 0 && errno != EEXIST)
                        return err_set(err, errno, "does not exist and cannot be made: %m");
                return 0;
        }
        _cleanup_close_ int fd = openat(t->parent, t->name,
                                        O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
                return err_set(err, errno, "does not exist and cannot be made: %m");
        return 0;
}

/* systemd makes a folder of what a mount unit shall mount over, where nothing is. One that is empty and that nothing is
 * mounted on is no loss. */
static bool target_replace_folder(const Target *t)
{
        struct statx st;

        if (t->is_folder ||
            statx(t->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 ||
            !S_ISDIR(st.stx_mode) || !target_lies_in_run_folder(t))
                return false;
        return unlinkat(t->parent, t->name, AT_REMOVEDIR) == 0 && target_make(t, NULL) >= 0;
}

static int target_look_up_mount(const Target *t,
                                MountTable *table,
                                const MountEntry **ret,
                                Err *err)
{
        int r = mount_table_read(table, err);
        if (r < 0)
                return r;
        *ret = mount_table_find(table, t->mount_id);
        if (!*ret)
                return err_set(err, ENOENT, "its mount is not in /proc/self/mountinfo");
        return 0;
}

/* A mount whose mount point is this very path has our file (or whatever this is) as its root. */
static bool target_is_covered_by(const Target *t, const MountEntry *e)
{
        return strcmp(e->target, t->path) == 0;
}

/* 1: a dead view was taken away, look again. 0: nothing covers the file. */
static int target_uncover(Target *t, Err *err)
{
        _cleanup_mount_table_ MountTable table = { 0 };
        const MountEntry *e = NULL;

        int r = target_look_up_mount(t, &table, &e, err);
        if (r < 0)
                return r;
        if (!target_is_covered_by(t, e))
                return 0;
        if (strcmp(e->type, MOUNT_TYPE_VIEW) != 0)
                return err_set(err, EBUSY, "is a mount point already (%s of type %s)", e->source,
                               e->type);

        r = look_is_dead(t->parent, t->name);
        if (r == -ETIMEDOUT)
                return err_set(err, EBUSY,
                               "is covered already by a view of %s, which does not answer",
                               e->source);
        if (r == 0)
                return err_set(err, EBUSY, "is covered already by a view of %s", e->source);
        if (r < 0)
                return err_set(err, -r, "is covered by a view of %s: %m", e->source);

        r = target_umount(t, true, err);
        return r < 0 ? err_prefix(err, r, "cannot unmount a dead view of %s", e->source) : 1;
}

/* The type alone, which even a dead server cannot delay. */
static int target_check_type(const Target *t, Err *err)
{
        struct statx st;

        if (statx(t->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (t->is_folder)
                return S_ISDIR(st.stx_mode)
                               ? 0
                               : err_set(err, ENOTDIR, "is no folder, which --partitions needs");
        switch (st.stx_mode & S_IFMT) {
        case S_IFREG:
                return 0;
        case S_IFLNK:
                return err_set(
                        err, ELOOP,
                        "is a symbolic link; name the file itself that the view shall cover");
        case S_IFDIR:
                return err_set(err, EISDIR, "is a folder, not a regular file");
        case S_IFIFO:
                return err_set(err, EINVAL, "is a fifo, not a regular file");
        case S_IFBLK:
        case S_IFCHR:
                return err_set(err, EINVAL, "is a device, not a regular file; name a mount point");
        default:
                return err_set(err, EINVAL, "is not a regular file");
        }
}

static int target_check(const Target *t, Err *err)
{
        int r = target_check_type(t, err);
        return r < 0 ? r : safe_path_check(&t->chooser, t->rule, PATH_COVER, t->parent, t->fd, err);
}

static int target_hold(Target *t, Err *err)
{
        for (int i = 0; i < TARGET_STALE_MAX; i++) {
                cleanup_close(&t->fd);
                t->fd = target_open_top(t, err);
                if (t->fd == -ENOENT && target_make(t, err) >= 0)
                        t->fd = target_open_top(t, err);
                if (t->fd >= 0 && target_replace_folder(t)) {
                        cleanup_close(&t->fd);
                        t->fd = target_open_top(t, err);
                }
                if (t->fd < 0) {
                        int r = t->fd;
                        t->fd = -1;
                        return r;
                }
                int r = mount_id_of_fd(t->fd, &t->mount_id);
                if (r < 0)
                        return err_set(err, -r, "cannot tell which mount it lies in: %m");
                r = target_uncover(t, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        return target_check(t, err);
        }
        return err_set(err, EBUSY, "is covered by more than %d dead views", TARGET_STALE_MAX);
}

static int target_open_kind(const char *path, PathRule rule, bool is_folder, Target *ret, Err *err)
{
        Target t = TARGET_NONE;

        t.rule = rule;
        t.is_folder = is_folder;
        int r = target_find_parent(path, &t, err);
        if (r >= 0)
                r = target_hold(&t, err);
        if (r < 0) {
                target_done(&t);
                return r;
        }
        snprintf(t.link, sizeof(t.link), "/proc/self/fd/%d", t.fd);
        *ret = t;
        return 0;
}

int target_open(const char *path, PathRule rule, Target *ret, Err *err)
{
        return target_open_kind(path, rule, false, ret, err);
}

int target_open_folder(const char *path, PathRule rule, Target *ret, Err *err)
{
        _cleanup_free_ char *bare = strdup(path);
        if (!bare)
                return err_set(err, ENOMEM, "%m");

        for (size_t len = strlen(bare); len > 1 && bare[len - 1] == '/'; len--)
                bare[len - 1] = '\0';
        return target_open_kind(bare, rule, true, ret, err);
}

int target_get_mount_id(const Target *t, uint64_t *ret)
{
        _cleanup_close_ int fd = target_open_top(t, NULL);
        if (fd < 0)
                return fd;
        return mount_id_of_fd(fd, ret);
}

uint64_t target_get_unique_mount_id(const Target *t)
{
        _cleanup_close_ int fd = target_open_top(t, NULL);
        struct statx stx;

        /* A server is not asked. */
        if (fd < 0 ||
            statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, TARGET_STATX_MNT_ID_UNIQUE, &stx) < 0)
                return 0;
        return stx.stx_mask & TARGET_STATX_MNT_ID_UNIQUE ? stx.stx_mnt_id : 0;
}

int target_umount(const Target *t, bool detach, Err *err)
{
        char path[PATH_MAX];

        if (geteuid() != 0)
                return fusermount_umount(t->path, detach, err);
        snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", t->parent, t->name);
        if (umount2(path, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) < 0)
                return err_set(err, errno, "%m");
        return 0;
}

void target_remove(const Target *t)
{
        struct statx ours, is;

        if (t->parent < 0 || t->fd < 0 ||
            statx(t->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &ours) < 0 ||
            statx(t->parent, t->name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
                  &is) < 0)
                return;
        if (is.stx_ino != ours.stx_ino || is.stx_dev_major != ours.stx_dev_major ||
            is.stx_dev_minor != ours.stx_dev_minor)
                return;
        if (S_ISREG(is.stx_mode) && is.stx_size == 0)
                (void)unlinkat(t->parent, t->name, 0);
        else if (S_ISDIR(is.stx_mode))
                (void)unlinkat(t->parent, t->name, AT_REMOVEDIR);
}

void target_done(Target *t)
{
        cleanup_close(&t->fd);
        cleanup_close(&t->parent);
        free(t->path);
        *t = TARGET_NONE;
}
