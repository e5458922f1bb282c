/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole sandbox: what it leaves of a process, and that answering requests still works in it. */
#include "base/barrier.h"
#include "inmate.h"
#include "sandbox/build.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

enum {
        KEPT = 60,     /* a file that stays */
        CHANNEL = 61,  /* a socket that stays */
        STRAY = 50,    /* closed: below those that stay */
        STRAY_2 = 200, /* above */
        STRANGER = 65534,
};

static int enter_as(bool switch_user)
{
        const int keep[] = { KEPT, CHANNEL };
        SandboxOptions options = {
                .keep = keep,
                .keep_count = 2,
                .cache_size = 1 << 20,
                .switch_user = switch_user,
                .uid = STRANGER,
                .gid = STRANGER,
        };
        SandboxReport report;
        int pair[2];

        int fd = memfd_create("image", 0);
        if (fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
                return -1;
        dup2(fd, STRAY);
        dup2(fd, STRAY_2);
        dup2(fd, KEPT);
        dup2(pair[0], CHANNEL);
        int r = sandbox_enter(&options, &report, NULL);
        if (r < 0)
                return r;
        uint32_t wanted = BARRIER_BIT(BARRIER_SECCOMP) | BARRIER_BIT(BARRIER_CAPABILITIES) |
                          BARRIER_BIT(BARRIER_PRIVILEGES) | BARRIER_BIT(BARRIER_LIMITS) |
                          BARRIER_BIT(BARRIER_DESCRIPTORS);
        if (switch_user)
                wanted |= BARRIER_BIT(BARRIER_USER);
        if ((report.applied & wanted) != wanted || report.applied & report.lacking ||
            report.applied & sandbox_build.left_out)
                return -1;
        return 0;
}

static int enter(void)
{
        return enter_as(false);
}

static int enter_stranger(void)
{
        return enter_as(true);
}

static int act_closed(void)
{
        struct pollfd p[] = {
                { .fd = STRAY }, { .fd = STRAY_2 }, { .fd = KEPT }, { .fd = CHANNEL }
        };

        if (poll(p, 4, 0) < 0)
                return errno;
        bool closed = p[0].revents & POLLNVAL && p[1].revents & POLLNVAL;
        bool kept = !(p[2].revents & POLLNVAL) && !(p[3].revents & POLLNVAL);
        return closed && kept ? 0 : EBADF;
}

static int act_io(void)
{
        char text[16] = "";
        struct stat st;

        if (pwrite(KEPT, "guest", 5, 100) != 5 || pread(KEPT, text, 5, 100) != 5 ||
            strcmp(text, "guest") != 0)
                return EIO;
        if (ftruncate(KEPT, 1 << 20) < 0 || fstat(KEPT, &st) < 0 || st.st_size != 1 << 20 ||
            lseek(KEPT, 0, SEEK_DATA) != 0)
                return errno ? errno : EIO;
        if (fallocate(KEPT, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 19) < 0 ||
            posix_fadvise(KEPT, 0, 0, POSIX_FADV_RANDOM) != 0 || fdatasync(KEPT) < 0 ||
            fsync(KEPT) < 0)
                return errno;
        int copy = fcntl(KEPT, F_DUPFD_CLOEXEC, 3);
        return copy < 0 || close(copy) < 0 ? errno : 0;
}

static void act_on_signal(int sig)
{
        (void)sig;
}

/* A thread that waits, is interrupted, and uses memory of its own: enough that the C library gives some back. */
static void *act_thread(void *arg)
{
        void *blocks[64];

        for (size_t i = 0; i < 64; i++)
                blocks[i] = memset(malloc(100000), 1, 100000);
        for (size_t i = 64; i-- > 0;)
                free(blocks[i]);
        poll(NULL, 0, 60 * 1000);
        return errno == EINTR ? arg : NULL;
}

static int act_threads(void)
{
        struct sigaction action = { .sa_handler = act_on_signal };
        struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
        pthread_t threads[4];
        void *ret = NULL;

        sigaction(SIGUSR1, &action, NULL);
        for (size_t i = 0; i < 4; i++)
                if (pthread_create(&threads[i], NULL, act_thread, &action) != 0)
                        return EAGAIN;
        nanosleep(&pause, NULL);
        for (size_t i = 0; i < 4; i++) {
                for (int r = EBUSY; r == EBUSY; nanosleep(&pause, NULL)) {
                        pthread_kill(threads[i], SIGUSR1);
                        r = pthread_tryjoin_np(threads[i], &ret);
                }
                if (!ret)
                        return EINTR;
        }
        return 0;
}

static int act_time(void)
{
        time_t now = time(NULL);
        struct tm tm;
        char text[64];

        return gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%FT%TZ", &tm) > 0 ? 0 : EINVAL;
}

static int act_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static void expect(const char *name, int (*enter_by)(void), int (*act)(void), int signal)
{
        Inmate inmate = { enter_by, act };
        int status = inmate_run(&inmate);
        int got = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

        if (got != signal || (!signal && WEXITSTATUS(status) != 0))
                fail_msg("%s: wait status %#x", name, status);
}

static void test_what_works(void **state)
{
        expect("what is open", enter, act_closed, 0);
        expect("input and output", enter, act_io, 0);
        expect("threads", enter, act_threads, 0);
        expect("the time of day", enter, act_time, 0);
}

static void test_what_does_not(void **state)
{
        expect("socket", enter, act_socket, SIGSYS);
}

static void test_as_another_user(void **state)
{
        if (geteuid() != 0)
                skip();
        expect("input and output", enter_stranger, act_io, 0);
        expect("threads", enter_stranger, act_threads, 0);
}

/* The number after `key` in the status of a process that waits behind the barriers, in that base. */
static unsigned long long status_of(const char *status, const char *key, int base)
{
        const char *line = strstr(status, key);

        assert_non_null(line);
        return strtoull(line + strlen(key), NULL, base);
}

/* The kernel's own word for it. */
static void test_status(void **state)
{
        static const struct {
                const char *key;
                unsigned long long value;
        } cases[] = {
                { "\nCapInh:\t", 0 }, { "\nCapPrm:\t", 0 },     { "\nCapEff:\t", 0 },
                { "\nCapAmb:\t", 0 }, { "\nNoNewPrivs:\t", 1 }, { "\nSeccomp:\t", 2 },
        };
        int ready[2], hold[2];
        char path[64], text[4096] = "";

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                const int keep[] = { ready[1], hold[0] };
                SandboxOptions options = { .keep = keep, .keep_count = 2 };
                SandboxReport report;
                char byte = sandbox_enter(&options, &report, NULL) < 0;
                /* The other ends are closed in here, so that reading ends when the test is done. */
                ssize_t n = write(ready[1], &byte, 1);
                n = read(hold[0], &byte, 1);
                _exit(n == 0 ? 0 : 1);
        }
        char byte = 1;
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(byte, 0);
        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        for (size_t i = 0; i < 2; i++) {
                close(ready[i]);
                close(hold[i]);
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(status_of(text, cases[i].key, 16), cases[i].value);
}

/* Goes in, says so on `channel` and waits; gives its pid. */
static pid_t start_waiting(SandboxOptions options, int channel)
{
        pid_t pid = fork();

        if (pid == 0) {
                SandboxReport report;
                options.keep = &channel;
                options.keep_count = 1;
                char byte = sandbox_enter(&options, &report, NULL) < 0;
                /* The other end is closed in here. */
                while (write(channel, &byte, 1) == 1)
                        poll(NULL, 0, -1);
                _exit(1);
        }
        return pid;
}

static char hear(int channel)
{
        struct pollfd p = { .fd = channel, .events = POLLIN };
        char byte = -1;

        if (poll(&p, 1, 20 * 1000) == 1)
                byte = read(channel, &byte, 1) == 1 ? byte : 'x';
        return byte;
}

/* A change of user would free it from its parent, if that came later. */
static void test_it_ends_with_its_parent(void **state)
{
        for (int switches = 0; switches < (geteuid() == 0 ? 2 : 1); switches++) {
                int ends[2], status = -1;

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
                pid_t parent = fork();
                if (parent == 0) {
                        SandboxOptions options = {
                                .parent = getpid(),
                                .switch_user = switches,
                                .uid = STRANGER,
                                .gid = STRANGER,
                        };
                        start_waiting(options, ends[1]);
                        pause();
                }
                close(ends[1]);
                assert_int_equal(hear(ends[0]), 0);
                kill(parent, SIGKILL);
                assert_int_equal(waitpid(parent, &status, 0), parent);
                /* Its end of the socket is closed when it is gone. */
                assert_int_equal(hear(ends[0]), 'x');
                close(ends[0]);
        }
}

static int enter_orphaned(void)
{
        SandboxOptions options = { .parent = getpid() };
        SandboxReport report;

        return sandbox_enter(&options, &report, NULL) == -ESRCH ? 0 : -1;
}

static int act_nothing(void)
{
        return 0;
}

static void test_a_parent_that_is_gone(void **state)
{
        expect("orphan", enter_orphaned, act_nothing, 0);
}

/* The hard limit, as /proc/PID/limits has it. */
static void core_limit_of(pid_t pid, char ret[32])
{
        char path[64], text[4096] = "";

        snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        const char *line = strstr(text, "Max core file size");
        assert_non_null(line);
        assert_int_equal(sscanf(line, "Max core file size %*s %31s", ret), 1);
}

/* To whom /proc belongs says whether a process may be looked into: of one that may not it is root's. */
static void test_core_dumps_only_when_asked(void **state)
{
        if (geteuid() != 0)
                skip();
        for (int asked = 0; asked < 2; asked++) {
                SandboxOptions options = {
                        .core_dumps = asked,
                        .parent = getpid(),
                        .switch_user = true,
                        .uid = STRANGER,
                        .gid = STRANGER,
                };
                bool dumps = asked || sandbox_build.left_out & BARRIER_BIT(BARRIER_DUMP);
                char ours[32], theirs[32];
                char path[64];
                struct stat st;
                int ends[2];

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
                pid_t pid = start_waiting(options, ends[1]);
                assert_int_equal(hear(ends[0]), 0);
                snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_uid, dumps ? STRANGER : 0);
                core_limit_of(pid, theirs);
                core_limit_of(getpid(), ours);
                assert_string_equal(theirs, asked ? ours : "0");
                kill(pid, SIGKILL);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                close(ends[0]);
                close(ends[1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_works),
                cmocka_unit_test(test_what_does_not),
                cmocka_unit_test(test_as_another_user),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_it_ends_with_its_parent),
                cmocka_unit_test(test_a_parent_that_is_gone),
                cmocka_unit_test(test_core_dumps_only_when_asked),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
