/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regular files and block devices. */
#include "base/bits.h"
#include "base/blocking.h"
#include "base/cleanup.h"
#include "store/pusher.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
        /* Writes of this length go on to the disk at once, and nobody waits for them: the disk works while the next
         * request is made, and a sync finds little left to do. Shorter ones stay in the kernel's cache for a while: they
         * may be written over, and the disk likes them better together. */
        FD_PUSH_MIN = 512 * 1024,

        /* A write that took so long has waited for the disk, and so will the next: the kernel lets nobody make more
         * pages dirty than the disk takes. Nanoseconds. */
        FD_WAIT_NS = 1000000,
};

typedef struct FdStore {
        Store store;
        /* Fixed after open. */
        int fd;
        bool is_device;
        bool writable;
        bool is_volatile;
        uint64_t device_size;

        atomic_bool cannot_tell; /* whether a read would wait for the disk */
        atomic_bool writes_wait; /* the last write waited for the disk */

        _Atomic(Pusher *) pusher; /* owned; made by the first long write */
} FdStore;

/* Offsets beyond this are never asked of the kernel: it knows off_t only. */
#define FD_SIZE_MAX ((uint64_t)INT64_MAX - 4096)

static FdStore *fd_store(Store *s)
{
        return (FdStore *)s;
}

/* As pread. Where somebody wants to know of waits, the kernel is asked first for what it has in memory. */
static ssize_t fd_pread(FdStore *f, void *buf, size_t len, off_t pos)
{
        if (blocking_is_watched() && !atomic_load_explicit(&f->cannot_tell, memory_order_relaxed)) {
                struct iovec iov = { buf, len };
                ssize_t n = preadv2(f->fd, &iov, 1, pos, RWF_NOWAIT);
                if (n >= 0)
                        return n;
                if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
                        atomic_store_explicit(&f->cannot_tell, true, memory_order_relaxed);
        }
        blocking_begin();
        return pread(f->fd, buf, len, pos);
}

static int fd_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        FdStore *f = fd_store(s);
        size_t done = 0;

        while (done < len && pos < FD_SIZE_MAX) {
                ssize_t n = fd_pread(f, (uint8_t *)buf + done, len - done, (off_t)pos);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
                pos += (uint64_t)n;
        }
        *ret_done = done;
        return 0;
}

/* Where there is no pusher to be had, the bytes wait for a sync. */
static void fd_push(FdStore *f, uint64_t pos, size_t len)
{
        Pusher *p = atomic_load(&f->pusher);

        if (!p) {
                Pusher *made = NULL;
                if (pusher_new(f->fd, &made) < 0)
                        return;
                if (atomic_compare_exchange_strong(&f->pusher, &p, made))
                        p = made;
                else
                        pusher_free(made);
        }
        pusher_push(p, pos, len);
}

static uint64_t fd_now(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int fd_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        FdStore *f = fd_store(s);

        if (!f->writable)
                return -EBADF;
        if (!in_range(pos, len, f->is_device ? f->device_size : FD_SIZE_MAX))
                return f->is_device ? -ENOSPC : -EFBIG;

        size_t done = 0;
        uint64_t began = fd_now();
        if (atomic_load_explicit(&f->writes_wait, memory_order_relaxed))
                blocking_begin();
        while (done < len) {
                ssize_t n = pwrite(f->fd, (const uint8_t *)buf + done, len - done, (off_t)pos);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                done += (size_t)n;
                pos += (uint64_t)n;
        }
        bool waited = fd_now() - began > FD_WAIT_NS;
        if (waited != atomic_load_explicit(&f->writes_wait, memory_order_relaxed))
                atomic_store_explicit(&f->writes_wait, waited, memory_order_relaxed);
        if (len >= FD_PUSH_MIN && !f->is_volatile)
                fd_push(f, pos - len, len);
        return 0;
}

static int fd_get_size(Store *s, uint64_t *ret)
{
        FdStore *f = fd_store(s);
        struct stat st;

        if (f->is_device) {
                *ret = f->device_size;
                return 0;
        }
        if (fstat(f->fd, &st) < 0)
                return -errno;
        *ret = (uint64_t)st.st_size;
        return 0;
}

static int fd_set_size(Store *s, uint64_t size)
{
        FdStore *f = fd_store(s);

        if (!f->writable)
                return -EBADF;
        if (f->is_device)
                return size == f->device_size ? 0 : -EOPNOTSUPP;
        if (size > FD_SIZE_MAX)
                return -EFBIG;
        int r;
        do
                r = ftruncate(f->fd, (off_t)size);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

static int fd_sync(Store *s)
{
        FdStore *f = fd_store(s);

        if (!f->writable || f->is_volatile)
                return 0;
        int r;
        blocking_begin();
        do
                r = fdatasync(f->fd);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

/* fallocate() with a range that the caller has brought within the file. */
static int fd_fallocate(FdStore *f, int mode, uint64_t pos, uint64_t len)
{
        if (!f->writable)
                return -EBADF;
        if (len == 0)
                return 0;
        if (!in_range(pos, len, FD_SIZE_MAX))
                return -EFBIG;
        blocking_begin();
        for (;;) {
                if (fallocate(f->fd, mode, (off_t)pos, (off_t)len) == 0)
                        return 0;
                /* Devices answer EINVAL for a range that their sectors do not divide, ENODEV where they cannot. */
                if (errno == ENOSYS || errno == ENODEV || (errno == EINVAL && f->is_device))
                        return -EOPNOTSUPP;
                if (errno != EINTR)
                        return -errno;
        }
}

static int fd_punch(Store *s, uint64_t pos, uint64_t len)
{
        FdStore *f = fd_store(s);
        uint64_t size = 0;

        int r = fd_get_size(s, &size);
        if (r < 0)
                return r;
        if (pos >= size)
                return f->writable ? 0 : -EBADF;
        return fd_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos,
                            u64_min(len, size - pos));
}

static int fd_zero(Store *s, uint64_t pos, uint64_t len)
{
        return fd_fallocate(fd_store(s), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, pos, len);
}

static int fd_allocate(Store *s, uint64_t pos, uint64_t len)
{
        FdStore *f = fd_store(s);

        if (f->is_device)
                return f->writable ? 0 : -EBADF;
        return fd_fallocate(f, FALLOC_FL_KEEP_SIZE, pos, len);
}

/* SEEK_HOLE tells the truth or says "data"; a host that cannot tell makes everything data. */
static int fd_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        FdStore *f = fd_store(s);
        uint64_t size = 0;

        int r = fd_get_size(s, &size);
        if (r < 0)
                return r;
        *ret = (StoreRun){ .is_hole = false, .end = size };
        if (f->is_device)
                return 0;

        blocking_begin();
        off_t data = lseek(f->fd, (off_t)pos, SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
                ret->is_hole = true;
                return 0;
        }
        if (data < 0)
                return errno == EINVAL || errno == EOPNOTSUPP ? 0 : -errno;
        if ((uint64_t)data > pos) {
                *ret = (StoreRun){ .is_hole = true, .end = (uint64_t)data };
                return 0;
        }
        off_t hole = lseek(f->fd, (off_t)pos, SEEK_HOLE);
        if (hole > (off_t)pos)
                ret->end = (uint64_t)hole;
        return 0;
}

static int fd_get_stat(Store *s, StoreStat *ret)
{
        FdStore *f = fd_store(s);
        struct stat st;

        if (fstat(f->fd, &st) < 0)
                return -errno;
        *ret = (StoreStat){
                .allocated = f->is_device ? f->device_size : (uint64_t)st.st_blocks * 512,
                .atime = st.st_atim,
                .mtime = st.st_mtim,
                .ctime = st.st_ctim,
                .device = f->is_device ? (uint64_t)st.st_rdev : (uint64_t)st.st_dev,
                .inode = f->is_device ? 0 : (uint64_t)st.st_ino,
        };
        return 0;
}

static void fd_forget(Store *s, uint64_t pos, uint64_t len)
{
        (void)posix_fadvise(fd_store(s)->fd, (off_t)pos, (off_t)len, POSIX_FADV_DONTNEED);
}

static void fd_free(Store *s)
{
        FdStore *f = fd_store(s);

        pusher_free(atomic_load(&f->pusher));
        close(f->fd);
        free(f);
}

static const StoreOps fd_ops = {
        .read = fd_read,
        .write = fd_write,
        .get_size = fd_get_size,
        .set_size = fd_set_size,
        .sync = fd_sync,
        .punch = fd_punch,
        .zero = fd_zero,
        .allocate = fd_allocate,
        .find_run = fd_find_run,
        .get_stat = fd_get_stat,
        .forget = fd_forget,
        .free = fd_free,
};

/* Reading ahead brings large folios into the page cache, and ext4 looks at every block of a clean folio of which it is to write
 * one: 4 KiB cost ten times what they cost in small folios. The kernel reads ahead on the view as well, and asks for 1 MiB at a time,
 * so that little is missing here. Before the first read, because a readahead that has begun goes on. */
static void fd_expect_writes(int fd)
{
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

int store_open_fd(int fd, StoreMode mode, Store **ret, Err *err)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");

        uint64_t device_size = 0;
        if (S_ISBLK(st.st_mode)) {
                if (ioctl(fd, BLKGETSIZE64, &device_size) < 0)
                        return err_set(err, errno, "cannot get the size of the block device: %m");
        } else if (!S_ISREG(st.st_mode)) {
                return err_set(err, EINVAL, "is neither a regular file nor a block device");
        }

        uint64_t size = S_ISBLK(st.st_mode) ? device_size : (uint64_t)st.st_size;
        if (size > FD_SIZE_MAX)
                return err_set(err, EFBIG, "%llu bytes are too many for one file",
                               (unsigned long long)size);

        FdStore *f = calloc(1, sizeof(*f));
        if (!f)
                return err_set(err, ENOMEM, "%m");
        *f = (FdStore){
                .store.ops = &fd_ops,
                .fd = fd,
                .is_device = S_ISBLK(st.st_mode),
                .writable = mode != STORE_READ_ONLY,
                .is_volatile = mode == STORE_VOLATILE,
                .device_size = device_size,
        };
        if (f->writable)
                fd_expect_writes(fd);
        *ret = &f->store;
        return 0;
}
