/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The child that has a loop device open, with a kernel and a udev that do what a test says. Real devices: integration `loop`. */
#include "supervisor/loop-holder.h"

#include "base/cleanup.h"
#include "supervisor/udev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        WAIT_MS = 20 * 1000,
        NUMBER = 7,
};

/* What the kernel and udev do; the child has it from us, and tells us below what it has asked for. */
static struct {
        int control_errno, free_errno, device_errno, configure_errno;
        int busy; /* so often somebody else is quicker */
        bool udev_runs;
        int udev_rounds;  /* so often it does not know the device yet; negative: it never does */
        bool clock_races; /* each look at the clock takes a second */
} world;

static struct Asked {
        struct loop_config config;
        int configured, device_flags;
} * asked;

static char folder[] = "/tmp/rawview-test-XXXXXX";

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
bool __wrap_udev_is_running(void);
UdevMark __wrap_udev_mark(dev_t device);
bool __wrap_udev_has_moved(dev_t device, const UdevMark *mark);
bool __wrap_udev_knows(const char *node);

static int world_fail(int code)
{
        errno = code;
        return -1;
}

int __wrap_open64(const char *path, int flags, ...)
{
        bool control = strcmp(path, "/dev/loop-control") == 0;
        bool device = strcmp(path, "/dev/loop7") == 0;

        if (control && world.control_errno)
                return world_fail(world.control_errno);
        if (device && world.device_errno)
                return world_fail(world.device_errno);
        if (device)
                asked->device_flags = flags;
        return __real_open64(control || device ? "/dev/null" : path, flags);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
        va_list args;

        if (request == LOOP_CTL_GET_FREE)
                return world.free_errno ? world_fail(world.free_errno) : NUMBER;
        assert_int_equal(request, LOOP_CONFIGURE);
        va_start(args, request);
        asked->config = *va_arg(args, const struct loop_config *);
        va_end(args);
        if (asked->configured++ < world.busy)
                return world_fail(EBUSY);
        return world.configure_errno ? world_fail(world.configure_errno) : 0;
}

DIR *__wrap_opendir(const char *path)
{
        if (strcmp(path, "/sys/block/loop7") != 0)
                return __real_opendir(path);
        return __real_opendir(folder);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
        static int looks;
        int r = __real_clock_gettime(clock, ret);

        if (world.clock_races)
                ret->tv_sec += ++looks;
        return r;
}

bool __wrap_udev_is_running(void)
{
        return world.udev_runs;
}

UdevMark __wrap_udev_mark(dev_t device)
{
        return (UdevMark){ .inode = 1 };
}

bool __wrap_udev_has_moved(dev_t device, const UdevMark *mark)
{
        assert_int_equal(mark->inode, 1);
        return world.udev_rounds >= 0 && world.udev_rounds-- == 0;
}

bool __wrap_udev_knows(const char *node)
{
        return true;
}

typedef struct Rig {
        int folder;
        LoopHolder h;
        Err err;
} Rig;

/* What comes of it: the child's report. */
static int rig_start(Rig *rig, LoopOrder order)
{
        *rig = (Rig){ .folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
                      .h = LOOP_HOLDER_NONE };
        assert_true(rig->folder >= 0);
        memset(asked, 0, sizeof(*asked));
        order.folder = rig->folder;
        if (!order.name)
                order.name = "view";
        assert_int_equal(loop_holder_start(&order, &rig->h, &rig->err), 0);
        struct pollfd p = { .fd = rig->h.channel, .events = POLLIN };
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        return loop_holder_take_report(&rig->h, &rig->err);
}

static void rig_end(Rig *rig)
{
        loop_holder_done(&rig->h);
        assert_int_equal(rig->h.pid, -1);
        cleanup_close(&rig->folder);
}

static void expect_end(const LoopHolder *h)
{
        struct pollfd p = { .fd = h->pidfd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

static void test_what_the_kernel_is_asked_for(void **state)
{
        static const struct {
                LoopOrder order;
                uint32_t flags;
        } cases[] = {
                { { .sector_size = 512 },
                  LO_FLAGS_PARTSCAN | LO_FLAGS_AUTOCLEAR | LO_FLAGS_READ_ONLY },
                { { .sector_size = 4096, .writable = true, .direct = true },
                  LO_FLAGS_PARTSCAN | LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const LoopOrder *order = &cases[i].order;
                Rig rig;

                world.udev_runs = false;
                assert_int_equal(rig_start(&rig, *order), 0);
                assert_true(rig.h.is_up);
                assert_int_equal(rig.h.report.number, NUMBER);
                assert_int_equal(rig.h.report.late, 0);
                assert_int_equal(asked->configured, 1);
                assert_int_equal(asked->config.info.lo_flags, cases[i].flags);
                assert_int_equal(asked->config.block_size, order->sector_size);
                assert_string_equal((const char *)asked->config.info.lo_file_name, "view");
                assert_int_equal(asked->device_flags & O_ACCMODE,
                                 order->writable ? O_RDWR : O_RDONLY);
                rig_end(&rig);
        }
}

static void test_partitions_in_their_order(void **state)
{
        static const uint32_t numbers[] = { 1, 2, 10 };
        char node[32];
        Rig rig;

        assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), 0);
        assert_int_equal(rig.h.report.partition_count, 3);
        assert_memory_equal(rig.h.report.partitions, numbers, sizeof(numbers));
        assert_true(loop_holder_get_node(&rig.h, 0, node));
        assert_string_equal(node, "/dev/loop7");
        assert_true(loop_holder_get_node(&rig.h, 3, node));
        assert_string_equal(node, "/dev/loop7p10");
        assert_false(loop_holder_get_node(&rig.h, 4, node));
        rig_end(&rig);
        assert_false(loop_holder_get_node(&rig.h, 0, node));
}

static void test_somebody_else_is_quicker(void **state)
{
        Rig rig;

        world.busy = 3;
        assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), 0);
        assert_int_equal(asked->configured, 4);
        rig_end(&rig);
        world.busy = 1000;
        assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), -EBUSY);
        assert_string_equal(rig.err.text, "no loop device: /dev/loop7: Device or resource busy");
        assert_false(rig.h.is_up);
        rig_end(&rig);
        world.busy = 0;
}

static void test_why_there_is_none(void **state)
{
        static const struct {
                const char *name;
                int *where, code;
                const char *text;
        } cases[] = {
                { "view", &world.control_errno, ENOENT,
                  "no loop device: the kernel has none: /dev/loop-control is missing (modprobe loop, "
                  "or a container without it)" },
                { "view", &world.control_errno, EPERM,
                  "no loop device: /dev/loop-control: Operation not permitted (a unit needs "
                  "DeviceAllow=, which rawview-generator writes at systemctl daemon-reload)" },
                { "view", &world.free_errno, ENOSPC,
                  "no loop device: all of them are in use: No space left on device" },
                { "view", &world.device_errno, ENOENT,
                  "no loop device: all that have a node in /dev are in use, and the next one, "
                  "/dev/loop7, has none (losetup --list names them)" },
                { "view", &world.device_errno, EPERM,
                  "no loop device: /dev/loop7: Operation not permitted (a unit needs "
                  "DeviceAllow=block-loop)" },
                { "view", &world.configure_errno, EINVAL,
                  "no loop device: /dev/loop7: Invalid argument" },
                { "missing", NULL, ENOENT,
                  "no loop device: the view cannot be opened for it: No such file or directory" },
                { "link", NULL, ELOOP,
                  "no loop device: the view cannot be opened for it: Too many levels of symbolic "
                  "links" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                LoopOrder order = { .name = cases[i].name, .sector_size = 512 };
                Rig rig;

                if (cases[i].where)
                        *cases[i].where = cases[i].code;
                assert_int_equal(rig_start(&rig, order), -cases[i].code);
                assert_string_equal(rig.err.text, cases[i].text);
                expect_end(&rig.h);
                rig_end(&rig);
                if (cases[i].where)
                        *cases[i].where = 0;
        }
}

static void test_udev_is_waited_for(void **state)
{
        Rig rig;

        world.udev_runs = true;
        world.udev_rounds = 3;
        assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), 0);
        assert_int_equal(rig.h.report.late, 0);
        rig_end(&rig);
        world.udev_rounds = -1;
        world.clock_races = true;
        assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), 0);
        assert_int_equal(rig.h.report.late, 1);
        rig_end(&rig);
        world.clock_races = false;
        world.udev_runs = false;
}

/* Of what a terminal sends it hears nothing, and neither is it the terminal's: it has a group of its own. */
static void test_what_ends_it(void **state)
{
        static const int deaf[] = { SIGINT, SIGHUP, SIGQUIT };
        Rig rig;

        assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), 0);
        assert_int_equal(getpgid(rig.h.pid), rig.h.pid);
        for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++)
                kill(rig.h.pid, deaf[i]);
        struct pollfd p = { .fd = rig.h.pidfd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, 100), 0);
        loop_holder_release(&rig.h);
        assert_false(rig.h.is_up);
        loop_holder_release(&rig.h);
        expect_end(&rig.h);
        int status = loop_holder_take_end(&rig.h);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(rig.h.pid, -1);
        rig_end(&rig);

        for (int signal = SIGKILL; signal <= SIGTERM; signal += SIGTERM - SIGKILL) {
                assert_int_equal(rig_start(&rig, (LoopOrder){ .sector_size = 512 }), 0);
                kill(rig.h.pid, signal);
                expect_end(&rig.h);
                status = loop_holder_take_end(&rig.h);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), signal);
                rig_end(&rig);
        }
}

/* Killed before it has said anything. */
static void test_a_report_that_never_comes(void **state)
{
        int ends[2];
        Err err = { "" };

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        LoopHolder h = { .pid = -1, .pidfd = -1, .channel = ends[0] };
        close(ends[1]);
        assert_true(loop_holder_take_report(&h, &err) < 0);
        assert_string_equal(err.text, "no loop device: the process for it ended");
        assert_false(h.is_up);
        loop_holder_done(&h);
}

static int make_folder(void **state)
{
        static const char *const names[] = { "view",    "loop7p10", "loop7p1", "loop7p2",
                                             "loop8p3", "loop7p4x", "loop7",   "queue" };

        asked = mmap(NULL, sizeof(*asked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
        if (asked == MAP_FAILED || !mkdtemp(folder) || chdir(folder) < 0)
                return -1;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                close(creat(names[i], 0600));
        return symlink("view", "link");
}

static int remove_folder(void **state)
{
        DIR *d = __real_opendir(folder);
        struct dirent *e;

        while (d && (e = readdir(d)))
                unlinkat(dirfd(d), e->d_name, 0);
        closedir(d);
        return rmdir(folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_the_kernel_is_asked_for),
                cmocka_unit_test(test_partitions_in_their_order),
                cmocka_unit_test(test_somebody_else_is_quicker),
                cmocka_unit_test(test_why_there_is_none),
                cmocka_unit_test(test_udev_is_waited_for),
                cmocka_unit_test(test_what_ends_it),
                cmocka_unit_test(test_a_report_that_never_comes),
        };
        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
