/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/mount.h"

#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "supervisor/fusermount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        /* As long as the longest request: 1 MiB, in KiB. */
        MOUNT_READAHEAD_KB = 1024,
        /* How long to wait for one's turn. */
        MOUNT_TURN_TRIES = 100,
        MOUNT_TURN_MS = 20,
};

/* Those who mount over one file at the same moment take turns, so that nobody takes another's mount for the own one.
 * The lock lies on the file that gets covered. Who may not open it goes on without, and who finds it locked for long,
 * too: flock(1) may stand around the whole command. The turn ends when the descriptor is closed. */
static void mount_take_turn(const Target *target, int *ret_fd)
{
        int fd = open(target->link, O_RDONLY | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                fd = open(target->link, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        for (int i = 0; fd >= 0 && i < MOUNT_TURN_TRIES; i++) {
                if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                        break;
                poll(NULL, 0, MOUNT_TURN_MS);
        }
        *ret_fd = fd;
}

static int mount_check_uncovered(const Target *target, Err *err)
{
        uint64_t id = 0;

        int r = target_get_mount_id(target, &id);
        if (r < 0)
                return err_set(err, -r, "cannot look at it again: %m");
        if (id != target->mount_id)
                return err_set(err, EBUSY, "was covered by somebody else at the same moment");
        return 0;
}

/* mount(2) takes the place by descriptor: whoever swaps the path meanwhile gains nothing. */
static int mount_as_root(
        const Target *target, const Config *c, const char *source, Mount *m, Err *err)
{
        char options[256];

        _cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return err_set(err, errno, "cannot open /dev/fuse: %m");
        m->allow_other = c->allow_other != CONFIG_NO;
        snprintf(options, sizeof(options),
                 "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions%s", fd,
                 c->partitions ? S_IFDIR : S_IFREG, geteuid(), getegid(),
                 m->allow_other ? ",allow_other" : "");

        unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
        if (!c->writable)
                flags |= MS_RDONLY;
        if (mount(source, target->link, MOUNT_TYPE_VIEW, flags, options) < 0)
                return err_set(err, errno, "cannot mount a view over it: %m");
        m->fuse_fd = fd_take(&fd);
        return 0;
}

/* fusermount3 opens the file for writing before it mounts over it. */
static int mount_check_writable(const Target *target, Err *err)
{
        if (faccessat(AT_FDCWD, target->link, W_OK, AT_EACCESS) == 0)
                return 0;
        if (errno == EACCES)
                return err_set(err, EACCES,
                               "is not writable by you, and fusermount3 mounts only over files "
                               "that its caller may write; name another mount point");
        return err_set(err, errno,
                       "fusermount3 mounts only over files that its caller may write: %m");
}

static int mount_user_options(
        char *options, size_t size, const Config *c, const char *source, bool allow_other)
{
        snprintf(options, size,
                 "%s,nosuid,nodev,noexec,noatime,default_permissions%s,subtype=rawview,fsname=",
                 c->writable ? "rw" : "ro", allow_other ? ",allow_other" : "");
        return fusermount_escape(options, size, source);
}

static int mount_as_user(
        const Target *target, const Config *c, const char *source, Mount *m, Err *err)
{
        char options[2 * PATH_MAX];

        int r = mount_check_writable(target, err);
        if (r < 0)
                return r;
        for (int allow_other = c->allow_other != CONFIG_NO; allow_other >= 0; allow_other--) {
                r = mount_user_options(options, sizeof(options), c, source, allow_other);
                if (r < 0)
                        return err_set(err, -r, "the path of the image is too long: %m");
                r = fusermount_mount(target->path, options, &m->fuse_fd, err);
                m->allow_other = allow_other;
                if (r >= 0 || c->allow_other == CONFIG_YES)
                        break;
                m->allow_other_refused = allow_other;
        }
        return r < 0 ? err_prefix(err, r, "cannot mount a view over it") : 0;
}

/* Finds the new mount, and makes sure that nobody else was quicker: ours must lie directly on the file. */
static int mount_find(const Target *target, Mount *m, Err *err)
{
        _cleanup_mount_table_ MountTable table = { 0 };
        uint64_t id = 0;

        int r = target_get_mount_id(target, &id);
        if (r < 0)
                return err_set(err, -r, "cannot find the new mount: %m");
        r = mount_table_read(&table, err);
        if (r < 0)
                return r;
        const MountEntry *e = mount_table_find(&table, id);
        if (!e || id == target->mount_id || strcmp(e->type, MOUNT_TYPE_VIEW) != 0)
                return err_set(err, ENOENT, "the new mount is gone already");
        m->id = id;
        m->unique_id = target_get_unique_mount_id(target);
        m->device_major = e->device_major;
        m->device_minor = e->device_minor;
        if (e->parent != target->mount_id)
                return err_set(err, EBUSY, "was covered by somebody else at the same moment");
        return 0;
}

int mount_view(const Target *target, const Config *c, const char *source, Mount *ret, Err *err)
{
        Mount m = MOUNT_NONE;
        _cleanup_close_ int turn = -1;

        mount_take_turn(target, &turn);
        int r = mount_check_uncovered(target, err);
        if (r < 0)
                return r;
        r = geteuid() == 0 ? mount_as_root(target, c, source, &m, err)
                           : mount_as_user(target, c, source, &m, err);
        if (r < 0)
                return r;
        r = mount_find(target, &m, err);
        if (r < 0) {
                (void)mount_end(&m, target, true, NULL);
                mount_done(&m);
                return r;
        }
        *ret = m;
        return 0;
}

/* Somebody may have mounted over the view, or renamed it from another mount namespace. */
static bool mount_is_listed(const Mount *m)
{
        _cleanup_mount_table_ MountTable table = { 0 };

        return mount_table_read(&table, NULL) >= 0 && mount_table_find(&table, m->id);
}

/* The kernel gives the number of a mount that is gone to the next one, and that of its device, too. */
static bool mount_is_another(const Mount *m, const Target *target)
{
        uint64_t unique = target_get_unique_mount_id(target);

        return m->unique_id != 0 && unique != 0 && unique != m->unique_id;
}

int mount_end(Mount *m, const Target *target, bool detach, Err *err)
{
        uint64_t id = 0;

        if (m->id == 0)
                return 1;
        int r = target_get_mount_id(target, &id);
        if (r < 0 && r != -ENOENT)
                return err_set(err, -r, "cannot look at what covers %s: %m", target->path);
        bool is_another = r >= 0 && id == m->id && mount_is_another(m, target);
        if (r < 0 || id != m->id || is_another) {
                if (!is_another && mount_is_listed(m))
                        return err_set(err, EBUSY, "something else covers it");
                m->id = 0;
                return 1;
        }
        r = target_umount(target, detach, err);
        if (r == -EINVAL || r == -ENOENT) {
                m->id = 0;
                return 1;
        }
        if (r < 0)
                return r;
        m->id = 0;
        return 0;
}

static int mount_write_number(int folder, const char *path, int number)
{
        char text[16];

        _cleanup_close_ int fd = openat(folder, path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int len = snprintf(text, sizeof(text), "%d\n", number);
        return write(fd, text, (size_t)len) < 0 ? -errno : 0;
}

/* What lies in /sys/fs/fuse/connections, where nobody has mounted it: many containers are like that. */
static int mount_open_connections(void)
{
        _cleanup_close_ int context = fsopen("fusectl", FSOPEN_CLOEXEC);
        if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        int folder = fsmount(context, FSMOUNT_CLOEXEC, 0);
        return folder < 0 ? -errno : folder;
}

bool mount_is_connected(const Mount *m)
{
        struct pollfd p = { .fd = m->fuse_fd };

        return m->fuse_fd >= 0 && !(poll(&p, 1, 0) > 0 && p.revents & POLLERR);
}

int mount_abort(const Mount *m)
{
        char path[64];

        if (m->fuse_fd < 0 || m->device_minor == 0)
                return -ENOENT;
        /* It has ended already, and its number may be another connection's by now. */
        if (!mount_is_connected(m))
                return 0;
        /* The number of a connection is the minor number of its file system. */
        snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", m->device_minor);
        int r = mount_write_number(AT_FDCWD, path, 1);
        if (r != -ENOENT)
                return r;

        _cleanup_close_ int connections = mount_open_connections();
        if (connections < 0)
                return -ENOENT;
        snprintf(path, sizeof(path), "%u/abort", m->device_minor);
        return mount_write_number(connections, path, 1);
}

void mount_raise_readahead(const Mount *m)
{
        char path[64];

        snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", m->device_major,
                 m->device_minor);
        (void)mount_write_number(AT_FDCWD, path, MOUNT_READAHEAD_KB);
}

void mount_close(Mount *m)
{
        cleanup_close(&m->fuse_fd);
        m->fuse_fd = -1;
}

void mount_done(Mount *m)
{
        mount_close(m);
        *m = MOUNT_NONE;
}
