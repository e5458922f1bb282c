/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/lock.h"

#include "lock/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

/* A lock on byte LOCK_USES + p: its holder uses permission p. On LOCK_FORBIDS + p: others must not. The numbers are
 * QEMU's; what stands in these bytes of the file plays no part. */
enum {
        LOCK_USES = 100,
        LOCK_FORBIDS = 200,
        PERMISSION_READ = 0,
        PERMISSION_WRITE = 1,
        PERMISSION_RESIZE = 3,
        PERMISSION_COUNT = 4,
};

/* Lists end with 0. What is tested first is what tells most of the holder. */
typedef struct LockTable {
        unsigned held[6], tested[6];
} LockTable;

static const LockTable lock_tables[] = {
        [LOCK_READER] = {
                .held = { LOCK_USES + PERMISSION_READ, LOCK_FORBIDS + PERMISSION_WRITE,
                          LOCK_FORBIDS + PERMISSION_RESIZE },
                .tested = { LOCK_USES + PERMISSION_WRITE, LOCK_USES + PERMISSION_RESIZE,
                            LOCK_FORBIDS + PERMISSION_READ },
        },
        [LOCK_WRITER] = {
                .held = { LOCK_USES + PERMISSION_READ, LOCK_USES + PERMISSION_WRITE, LOCK_USES + PERMISSION_RESIZE,
                          LOCK_FORBIDS + PERMISSION_WRITE, LOCK_FORBIDS + PERMISSION_RESIZE },
                .tested = { LOCK_USES + PERMISSION_WRITE, LOCK_USES + PERMISSION_RESIZE,
                            LOCK_FORBIDS + PERMISSION_WRITE, LOCK_FORBIDS + PERMISSION_RESIZE,
                            LOCK_FORBIDS + PERMISSION_READ },
        },
};

/* What the lock on a byte says of its holder. */
static const char *lock_meaning(unsigned byte)
{
        switch (byte) {
        case LOCK_USES + PERMISSION_WRITE:
                return "writes to it";
        case LOCK_USES + PERMISSION_RESIZE:
                return "changes its size";
        case LOCK_FORBIDS + PERMISSION_READ:
                return "lets nobody else read it";
        case LOCK_FORBIDS + PERMISSION_WRITE:
                return "lets nobody else write to it";
        case LOCK_FORBIDS + PERMISSION_RESIZE:
                return "lets nobody else change its size";
        default:
                return "has locked it";
        }
}

static int lock_call(int fd, int command, short type, unsigned byte, struct flock *ret)
{
        struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

        if (fcntl(fd, command, &l) < 0)
                return -errno;
        if (ret)
                *ret = l;
        return 0;
}

static void lock_let_go(int fd)
{
        struct flock l = {
                .l_type = F_UNLCK,
                .l_whence = SEEK_SET,
                .l_start = LOCK_USES,
                .l_len = LOCK_FORBIDS + PERMISSION_COUNT - LOCK_USES,
        };

        fcntl(fd, F_OFD_SETLK, &l);
}

/* `owner` as F_OFD_GETLK gives it: a pid only where the lock is one of the old kind. */
static int lock_conflict(int fd, unsigned byte, pid_t owner, Err *err)
{
        Holder holder;
        LockedFile file;

        locked_file_of_fd(fd, &file);
        /* First, because ours must not be found. */
        lock_let_go(fd);
        if (owner > 0 ? holder_of_pid(owner, &holder) : holder_find(&file, byte, &holder))
                return err_set(err, EAGAIN, "is in use by %s (pid %d), which %s", holder.name,
                               (int)holder.pid, lock_meaning(byte));
        return err_set(err, EAGAIN, "is in use by somebody else, who %s", lock_meaning(byte));
}

static int lock_cannot(int fd, int code, Err *err)
{
        lock_let_go(fd);
        if (code != EINVAL && code != ENOLCK && code != ENOSYS && code != EOPNOTSUPP)
                return err_set(err, code, "cannot be locked: %m");
        err_set(err, code,
                "its file system has no image locks (%m), so nothing keeps other programs from "
                "changing it meanwhile");
        return LOCK_UNKNOWN_HERE;
}

int lock_take(int fd, LockRole role, Err *err)
{
        const LockTable *table = &lock_tables[role];
        struct flock other = { .l_type = F_UNLCK };

        for (const unsigned *byte = table->held; *byte; byte++) {
                int r = lock_call(fd, F_OFD_SETLK, F_RDLCK, *byte, NULL);
                if (r == -EAGAIN || r == -EACCES) {
                        r = lock_call(fd, F_OFD_GETLK, F_RDLCK, *byte, &other);
                        bool is_known = r >= 0 && other.l_type != F_UNLCK;
                        return lock_conflict(fd, *byte, is_known ? other.l_pid : -1, err);
                }
                if (r < 0)
                        return lock_cannot(fd, -r, err);
        }
        for (const unsigned *byte = table->tested; *byte; byte++) {
                int r = lock_call(fd, F_OFD_GETLK, F_WRLCK, *byte, &other);
                if (r < 0)
                        return lock_cannot(fd, -r, err);
                /* A write lock would meet all locks but our own. */
                if (other.l_type != F_UNLCK)
                        return lock_conflict(fd, *byte, other.l_pid, err);
        }
        return 0;
}
