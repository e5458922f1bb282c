/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/loop-holder.h"

#include "base/capabilities.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/sort.h"
#include "supervisor/udev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        /* The only descriptors that the child keeps. */
        HOLDER_FOLDER = 3,
        HOLDER_CHANNEL = 4,
        HOLDER_REST = 5,
        HOLDER_ASIDE = 16,
        /* A device that was free may be another program's by the time that we want it. */
        HOLDER_TRIES = 64,
        HOLDER_TRY_MS = 10,
        /* udev, with all its rules. */
        HOLDER_UDEV_MS = 15 * 1000,
        HOLDER_UDEV_NEW_MS = 3 * 1000,
        HOLDER_UDEV_STEP_MS = 10,
        HOLDER_END_MS = 2000,
};

/* ---- from here on in the child */

__attribute__((format(printf, 3, 4))) static int holder_fail(LoopReport *report,
                                                             int code,
                                                             const char *fmt,
                                                             ...)
{
        va_list args;

        report->code = code;
        va_start(args, fmt);
        errno = code;
        vsnprintf(report->text, sizeof(report->text), fmt, args);
        va_end(args);
        return -code;
}

/* A view that was never asked how large it is has 0 bytes to a loop device. */
static int holder_open_view(const LoopOrder *order, LoopReport *report, int *ret)
{
        struct statx st;

        _cleanup_close_ int fd =
                openat(HOLDER_FOLDER, order->name,
                       (order->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0 ||
            statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) < 0)
                return holder_fail(report, errno, "the view cannot be opened for it: %m");
        *ret = fd_take(&fd);
        return 0;
}

/* A device that nobody has used yet is new to udev, too; what udev does because of that must not be taken for what it does because
 * of us. */
static void holder_await_new(const char *node, dev_t device)
{
        int64_t end = clock_now_ms() + HOLDER_UDEV_NEW_MS;

        if (!udev_is_running() || udev_mark(device).inode != 0)
                return;
        while (!udev_knows(node) && clock_now_ms() < end)
                poll(NULL, 0, HOLDER_UDEV_STEP_MS);
}

/* EBUSY: somebody else was quicker. */
static int holder_attach(const LoopOrder *order, int view, int device)
{
        struct loop_config config = {
                .fd = (uint32_t)view,
                .block_size = order->sector_size,
                .info.lo_flags = LO_FLAGS_PARTSCAN | LO_FLAGS_AUTOCLEAR |
                                 (order->direct ? LO_FLAGS_DIRECT_IO : 0) |
                                 (order->writable ? 0 : LO_FLAGS_READ_ONLY),
        };

        snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s",
                 order->name);
        return ioctl(device, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

/* One try: the next free device. */
static int holder_try(const LoopOrder *order,
                      int control,
                      int view,
                      LoopReport *report,
                      int *ret,
                      UdevMark *ret_mark)
{
        char node[32];
        struct stat st;

        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
                return holder_fail(report, errno, "all of them are in use: %m");
        report->number = (uint32_t)number;
        snprintf(node, sizeof(node), "/dev/loop%d", number);
        _cleanup_close_ int device =
                open(node, (order->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
        if (device < 0 && errno == ENOENT)
                return holder_fail(report, errno,
                                   "all that have a node in /dev are in use, and the next one, %s, "
                                   "has none (losetup --list names them)",
                                   node);
        if (device < 0 || fstat(device, &st) < 0)
                return holder_fail(report, errno, "%s: %m%s", node,
                                   errno == EPERM ? " (a unit needs DeviceAllow=block-loop)" : "");
        holder_await_new(node, st.st_rdev);
        *ret_mark = udev_mark(st.st_rdev);
        int r = holder_attach(order, view, device);
        if (r < 0)
                return holder_fail(report, -r, "%s: %m", node);
        *ret = fd_take(&device);
        report->code = 0;
        return 0;
}

static int holder_find_device(const LoopOrder *order, LoopReport *report, int *ret, UdevMark *mark)
{
        _cleanup_close_ int view = -1;

        _cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        if (control < 0 && errno == ENOENT)
                return holder_fail(report, errno,
                                   "the kernel has none: /dev/loop-control is missing (modprobe "
                                   "loop, or a container without it)");
        if (control < 0)
                return holder_fail(report, errno, "/dev/loop-control: %m%s",
                                   errno == EPERM ? " (a unit needs DeviceAllow=, which "
                                                    "rawview-generator writes at "
                                                    "systemctl daemon-reload)"
                                                  : "");
        int r = holder_open_view(order, report, &view);
        if (r < 0)
                return r;
        for (int i = 0; i < HOLDER_TRIES; i++) {
                r = holder_try(order, control, view, report, ret, mark);
                if (r != -EBUSY)
                        return r;
                poll(NULL, 0, HOLDER_TRY_MS);
        }
        return r;
}

static int holder_compare(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
        return x < y ? -1 : x > y;
}

/* The kernel has read the partition table when the device is configured. */
static void holder_find_partitions(LoopReport *report)
{
        char folder[64];
        struct dirent *e;
        unsigned device = 0, part = 0;
        int n = 0;

        snprintf(folder, sizeof(folder), "/sys/block/loop%u", report->number);
        _cleanup_dir_ DIR *parts = opendir(folder);
        while (parts && report->partition_count < LOOP_PARTITIONS_MAX && (e = readdir(parts)))
                if (sscanf(e->d_name, "loop%up%u%n", &device, &part, &n) == 2 && !e->d_name[n] &&
                    device == report->number)
                        report->partitions[report->partition_count++] = part;
        sort_in_place(report->partitions, report->partition_count, sizeof(report->partitions[0]),
                      holder_compare);
}

static bool holder_is_known(const LoopReport *report, dev_t device, const UdevMark *mark)
{
        char node[48];

        if (!udev_has_moved(device, mark))
                return false;
        for (uint32_t i = 0; i < report->partition_count; i++) {
                snprintf(node, sizeof(node), "/dev/loop%up%u", report->number,
                         report->partitions[i]);
                if (!udev_knows(node))
                        return false;
        }
        return true;
}

/* As long as we are wanted. */
static void holder_await_udev(LoopReport *report, int device, const UdevMark *mark)
{
        int64_t end = clock_now_ms() + HOLDER_UDEV_MS;
        struct stat st;

        if (!udev_is_running() || fstat(device, &st) < 0)
                return;
        while (!holder_is_known(report, st.st_rdev, mark)) {
                struct pollfd p = { .fd = HOLDER_CHANNEL, .events = POLLIN };
                if (poll(&p, 1, HOLDER_UDEV_STEP_MS) > 0)
                        return;
                if (clock_now_ms() >= end) {
                        report->late = 1;
                        return;
                }
        }
}

/* A lock on the node says who has the device: `rawview umount` asks the kernel for our pid, which nobody can make up. */
static void holder_lock(int device, bool writable)
{
        struct flock lock = { .l_type = writable ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };

        (void)fcntl(device, F_SETLK, &lock);
}

static int holder_keep(int folder, int channel)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int channel_aside = fcntl(channel, F_DUPFD_CLOEXEC, HOLDER_ASIDE);
        int folder_aside = fcntl(folder, F_DUPFD_CLOEXEC, HOLDER_ASIDE);

        if (null < 0 || channel_aside < 0 || folder_aside < 0)
                return -errno;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(null, fd) < 0)
                        return -errno;
        if (dup2(folder_aside, HOLDER_FOLDER) < 0 || dup2(channel_aside, HOLDER_CHANNEL) < 0)
                return -errno;
        return syscall(SYS_close_range, (unsigned)HOLDER_REST, ~0U, 0U) < 0 ? -errno : 0;
}

/* Signals of a terminal are for the supervisor: a device that goes while its view stays is no good. SIGTERM is how `rawview umount`
 * asks us to let go. */
static void holder_detach(void)
{
        static const int deaf[] = { SIGINT, SIGHUP, SIGQUIT, SIGPIPE };
        sigset_t none;

        setpgid(0, 0);
        signal(SIGTERM, SIG_DFL);
        for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++)
                signal(deaf[i], SIG_IGN);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        (void)prctl(PR_SET_NAME, "rawview-loop", 0UL, 0UL, 0UL);
        if (chdir("/") < 0)
                _exit(1);
}

static _Noreturn void holder_child(const LoopOrder *order, int channel)
{
        LoopReport report = { 0 };
        UdevMark mark = { 0 };
        int device = -1;

        holder_detach();
        if (holder_keep(order->folder, channel) < 0)
                _exit(1);
        int r = holder_find_device(order, &report, &device, &mark);
        (void)capabilities_keep(0);
        if (r >= 0) {
                holder_lock(device, order->writable);
                holder_find_partitions(&report);
                holder_await_udev(&report, device, &mark);
        }
        if (send(HOLDER_CHANNEL, &report, sizeof(report), MSG_NOSIGNAL) != sizeof(report) || r < 0)
                _exit(1);
        close(HOLDER_FOLDER);
        /* Nothing ever comes but the end. */
        struct pollfd p = { .fd = HOLDER_CHANNEL, .events = POLLIN };
        while (poll(&p, 1, -1) < 0 && errno == EINTR)
                ;
        _exit(0);
}

/* ---- in the supervisor */

int loop_holder_start(const LoopOrder *order, LoopHolder *ret, Err *err)
{
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return err_set(err, errno, "cannot make a socket: %m");
        _cleanup_close_ int ours = ends[0], theirs = ends[1];
        pid_t pid = fork();
        if (pid == 0)
                holder_child(order, theirs);
        if (pid < 0)
                return err_set(err, errno, "cannot fork: %m");
        *ret = (LoopHolder){ .pid = pid, .pidfd = pidfd_open(pid, 0), .channel = fd_take(&ours) };
        if (ret->pidfd >= 0)
                return 0;
        int r = err_set(err, errno, "cannot watch a child: %m");
        loop_holder_done(ret);
        return r;
}

int loop_holder_take_report(LoopHolder *h, Err *err)
{
        ssize_t n = recv(h->channel, &h->report, sizeof(h->report), MSG_DONTWAIT);
        if (n != sizeof(h->report)) {
                h->report = (LoopReport){ .code = EIO };
                return err_set(err, EIO, "no loop device: the process for it ended");
        }
        h->is_up = h->report.code == 0;
        if (h->is_up)
                return 0;
        h->report.text[sizeof(h->report.text) - 1] = '\0';
        return err_set(err, h->report.code, "no loop device: %s", h->report.text);
}

int loop_holder_take_end(LoopHolder *h)
{
        int status = 0;

        (void)waitpid(h->pid, &status, 0);
        cleanup_close(&h->pidfd);
        cleanup_close(&h->channel);
        *h = LOOP_HOLDER_NONE;
        return status;
}

void loop_holder_release(LoopHolder *h)
{
        h->is_up = false;
        cleanup_close(&h->channel);
        h->channel = -1;
}

void loop_holder_done(LoopHolder *h)
{
        loop_holder_release(h);
        if (h->pid > 0) {
                struct pollfd p = { .fd = h->pidfd, .events = POLLIN };
                if (poll(&p, 1, HOLDER_END_MS) <= 0)
                        kill(h->pid, SIGKILL);
                waitpid(h->pid, NULL, WNOHANG);
        }
        cleanup_close(&h->pidfd);
        *h = LOOP_HOLDER_NONE;
}

bool loop_holder_get_node(const LoopHolder *h, unsigned index, char ret[32])
{
        const LoopReport *r = &h->report;

        if (h->pid <= 0 || index > r->partition_count)
                return false;
        if (index == 0)
                snprintf(ret, 32, "/dev/loop%u", r->number);
        else
                snprintf(ret, 32, "/dev/loop%up%u", r->number, r->partitions[index - 1]);
        return true;
}
