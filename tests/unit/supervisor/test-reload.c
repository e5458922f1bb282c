/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/reload.h"

#include "base/cleanup.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        LINES_MAX = 4,
        TEXT_MAX = 4096,
};

typedef const char *Line[2]; /* an option and its value */

/* A supervisor between a service manager and a worker, which are both this test. */
typedef struct Rig {
        Manager m;
        ManagerOptions options;
        Config config;
        int worker_end;
        int service_manager;
        int log, stderr_before;
        /* What the descriptor says when it is read again. */
        const Line *lines;
        bool cannot_be_read;
        unsigned reads;
        char heard[TEXT_MAX]; /* what the service manager was told */
        char said[TEXT_MAX];
} Rig;

static void config_fill(Config *c, const Line *lines)
{
        assert_int_equal(config_set_option(c, "path", "/vm/web.qcow2", NULL), 0);
        for (int i = 0; i < LINES_MAX && lines[i][0]; i++)
                assert_int_equal(config_set_option(c, lines[i][0], lines[i][1], NULL), 0);
        assert_int_equal(config_settle(c, NULL), 0);
}

static int rig_read(void *arg, Config *ret)
{
        Rig *rig = arg;

        rig->reads++;
        if (rig->cannot_be_read) {
                log_line(LOG_LEVEL_ERROR, "w.image:3: Mode: 'x' is wrong");
                return -EINVAL;
        }
        config_fill(ret, rig->lines);
        return 0;
}

static void rig_listen(Rig *rig)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        /* An abstract name: nothing to take away afterwards. */
        int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "rawview-reload-%d",
                         (int)getpid());
        rig->service_manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(rig->service_manager, (struct sockaddr *)&address,
                              (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1 + (socklen_t)n),
                         0);
        address.sun_path[0] = '@';
        setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static void rig_start(Rig *rig, const Line *shown, const Line *wanted)
{
        sigset_t set;
        int ends[2];

        *rig = (Rig){ .lines = wanted };
        config_init(&rig->config);
        config_fill(&rig->config, shown);
        rig->options = (ManagerOptions){
                .instance = "w", .read = rig_read, .read_arg = rig, .ready_fd = -1
        };
        assert_int_equal(channel_pair(ends, NULL), 0);
        assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
        rig->worker_end = ends[1];
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        rig->m = (Manager){
                .config = &rig->config,
                .options = &rig->options,
                .stage = STAGE_SERVING,
                .signals = -1,
                .hangups = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                .waiter = -1,
                .worker = { .pid = -1, .pidfd = -1, .channel = ends[0], .words = -1 },
                .image = { .layers[0] = { .fd = -1, .path = (char *)"/vm/web.qcow2" }, .count = 1 },
                .target = { .fd = -1, .parent = -1, .path = (char *)"/vm/web.raw" },
                .sealed = { .size = 1 << 20, .format = "qcow2" },
        };
        rig_listen(rig);
        rig->log = memfd_create("log", MFD_CLOEXEC);
        rig->stderr_before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        dup2(rig->log, STDERR_FILENO);
        unsetenv("JOURNAL_STREAM");
        log_open("t", LOG_LEVEL_INFO);
        rig->options.level = LOG_LEVEL_INFO;
}

static void rig_end(Rig *rig)
{
        dup2(rig->stderr_before, STDERR_FILENO);
        cleanup_close(&rig->stderr_before);
        cleanup_close(&rig->log);
        unsetenv("NOTIFY_SOCKET");
        cleanup_close(&rig->service_manager);
        cleanup_close(&rig->worker_end);
        cleanup_close(&rig->m.worker.channel);
        cleanup_close(&rig->m.hangups);
        config_done(&rig->config);
}

/* The worker's answer is there before it was asked. */
static void rig_answer(Rig *rig, uint32_t what, int code, uint64_t cache_size)
{
        Message m = { .kind = MESSAGE_CHANGED };

        m.changed = (MessageChanged){ .what = what, .code = code, .cache_size = cache_size };
        assert_int_equal(channel_send(rig->worker_end, &m, -1, NULL), 0);
}

/* False: it was not asked. */
static bool rig_was_asked(Rig *rig, MessageChange *ret)
{
        struct pollfd p = { .fd = rig->worker_end, .events = POLLIN };
        Message m;

        if (poll(&p, 1, 0) == 0)
                return false;
        assert_int_equal(channel_receive(rig->worker_end, &m, NULL, NULL), 1);
        assert_int_equal(m.kind, MESSAGE_CHANGE);
        *ret = m.change;
        return true;
}

static void rig_hear(Rig *rig)
{
        char packet[TEXT_MAX];
        ssize_t n;

        rig->heard[0] = '\0';
        while ((n = recv(rig->service_manager, packet, sizeof(packet) - 1, 0)) > 0) {
                packet[n] = '\0';
                size_t used = strlen(rig->heard);
                snprintf(rig->heard + used, TEXT_MAX - used, "%s\n", packet);
        }
        n = pread(rig->log, rig->said, TEXT_MAX - 1, 0);
        rig->said[n < 0 ? 0 : n] = '\0';
        assert_int_equal(ftruncate(rig->log, 0), 0);
        lseek(rig->log, 0, SEEK_SET);
}

/* As on SIGHUP. Whatever happens, the service manager hears the beginning and the end, in this order. */
static void rig_reload(Rig *rig)
{
        rig->m.reload_asked = true;
        kill(getpid(), SIGHUP);
        reload_run(&rig->m);
        rig_hear(rig);
        const char *begin = strstr(rig->heard, "RELOADING=1\nMONOTONIC_USEC=");
        const char *end = strstr(rig->heard, "READY=1\nSTATUS=web.qcow2 (qcow2, 1M, read-only) as "
                                             "/vm/web.raw");
        if (begin != rig->heard || !end || end < begin)
                fail_msg("the service manager heard '%s'", rig->heard);
        assert_false(rig->m.reload_asked);
        assert_int_equal(rig->m.failure_code, 0);
}

static void expect_said(const Rig *rig, const char *text)
{
        if (!strstr(rig->said, text))
                fail_msg("'%s' does not say '%s'", rig->said, text);
}

static const Line nothing[LINES_MAX] = { { NULL } };

static void test_nothing_new(void **state)
{
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, nothing);
        rig_reload(&rig);
        assert_int_equal(rig.reads, 1);
        assert_false(rig_was_asked(&rig, &change));
        assert_string_equal(rig.said, "t: /vm/web.qcow2: its descriptor says nothing new\n");
        assert_null(strstr(rig.heard, "read-only) as /vm/web.raw;"));
        rig_end(&rig);
}

static void test_at_once(void **state)
{
        static const Line wanted[LINES_MAX] = {
                { "owner", "7" }, { "group", "8" }, { "mode", "0440" }, { "cache-size", "32M" }
        };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, wanted);
        rig_answer(&rig, MESSAGE_CHANGE_ALL, 0, 32 << 20);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_int_equal(change.what, MESSAGE_CHANGE_ALL);
        assert_int_equal(change.uid, 7);
        assert_int_equal(change.gid, 8);
        assert_int_equal(change.mode, 0440);
        assert_int_equal(change.cache_size, 32 << 20);
        expect_said(&rig, "/vm/web.qcow2: from now on Owner=7, Group=8, Mode=0440, CacheSize=32M");
        assert_int_equal(rig.config.owner, 7);
        assert_int_equal(rig.config.mode, 0440);

        /* Again: all of it is as it should be. What somebody has changed by hand stays. */
        rig_reload(&rig);
        assert_false(rig_was_asked(&rig, &change));

        /* Back to the defaults. */
        rig.lines = nothing;
        rig_answer(&rig, MESSAGE_CHANGE_ALL, 0, 16 << 20);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_int_equal(change.uid, geteuid());
        assert_int_equal(change.gid, getegid());
        assert_int_equal(change.mode, 0400);
        rig_end(&rig);
}

static void test_only_what_has_changed(void **state)
{
        static const Line shown[LINES_MAX] = { { "owner", "7" }, { "mode", "0440" } };
        static const Line wanted[LINES_MAX] = { { "owner", "7" }, { "mode", "0444" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, shown, wanted);
        rig_answer(&rig, MESSAGE_CHANGE_MODE, 0, 0);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_int_equal(change.what, MESSAGE_CHANGE_MODE);
        rig_end(&rig);
}

static void test_what_wants_a_restart(void **state)
{
        static const Line wanted[LINES_MAX] = { { "mount-point", "/b" },
                                                { "writable", "yes" },
                                                { "mode", "0440" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, wanted);
        for (int round = 0; round < 2; round++) {
                if (round == 0)
                        rig_answer(&rig, MESSAGE_CHANGE_MODE, 0, 0);
                rig_reload(&rig);
                assert_int_equal(rig_was_asked(&rig, &change), round == 0);
                expect_said(&rig, "t: --mount-point: MountPoint= has changed: it takes effect when "
                                  "the view is restarted\n");
                expect_said(&rig, "t: --writable: Writable= has changed: it takes effect");
                assert_non_null(strstr(rig.heard, "; restart for MountPoint=, Writable=\n"));
        }
        assert_string_equal(rig.config.mount_point, "/vm/web.qcow2");
        assert_false(rig.config.writable);

        /* Taken back. */
        rig.lines = nothing;
        rig_answer(&rig, MESSAGE_CHANGE_MODE, 0, 0);
        rig_reload(&rig);
        assert_null(strstr(rig.said, "restarted"));
        assert_null(strstr(rig.heard, "restart for"));
        rig_end(&rig);
}

static void test_a_descriptor_that_cannot_be_read(void **state)
{
        static const Line wanted[LINES_MAX] = { { "mode", "0440" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, wanted);
        rig.cannot_be_read = true;
        rig_reload(&rig);
        assert_false(rig_was_asked(&rig, &change));
        expect_said(&rig, "w.image:3: Mode: 'x' is wrong");
        assert_non_null(strstr(rig.heard, "; the last reload failed\n"));
        assert_int_equal(rig.config.mode, 0400);

        rig.cannot_be_read = false;
        rig_answer(&rig, MESSAGE_CHANGE_MODE, 0, 0);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_null(strstr(rig.heard, "failed"));
        rig_end(&rig);
}

static void test_without_a_descriptor(void **state)
{
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, nothing);
        rig.options.read = NULL;
        rig.options.instance = NULL;
        rig_reload(&rig);
        assert_int_equal(rig.reads, 0);
        assert_false(rig_was_asked(&rig, &change));
        expect_said(&rig, "there is nothing to read again: the view has no descriptor");
        rig_end(&rig);
}

static void test_what_the_worker_refuses(void **state)
{
        static const Line wanted[LINES_MAX] = { { "mode", "0440" }, { "cache-size", "8M" } };
        static const struct {
                int code;
                const char *text;
        } cases[] = {
                { EPERM, "--mode: Mode= has changed, but only the owner of the view can use it" },
                { ENOENT, "Mode= has changed, but the worker could not do it: No such file" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Rig rig;
                rig_start(&rig, nothing, wanted);
                rig_answer(&rig, MESSAGE_CHANGE_CACHE, cases[i].code, 8 << 20);
                rig_reload(&rig);
                expect_said(&rig, cases[i].text);
                expect_said(&rig, "from now on CacheSize=8M\n");
                assert_int_equal(rig.config.mode, 0400);
                assert_int_equal(rig.config.cache_size, 8 << 20);
                rig_end(&rig);
        }
}

/* More than it was asked about: it is not believed. */
static void test_a_worker_that_says_too_much(void **state)
{
        static const Line wanted[LINES_MAX] = { { "cache-size", "8M" } };
        Rig rig;

        rig_start(&rig, nothing, wanted);
        rig_answer(&rig, MESSAGE_CHANGE_ALL, 0, 8 << 20);
        rig_reload(&rig);
        expect_said(&rig, "from now on CacheSize=8M\n");
        assert_int_equal(rig.config.mode, 0400);
        rig_end(&rig);
}

static void test_the_size_of_the_cache(void **state)
{
        static const Line small[LINES_MAX] = { { "cache-size", "1M" } };
        static const Line large[LINES_MAX] = { { "cache-size", "2G" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, small);
        rig_answer(&rig, MESSAGE_CHANGE_CACHE, 0, 4 << 20);
        rig_reload(&rig);
        expect_said(&rig, "CacheSize=1M is less than the view needs: it is 4M now");
        assert_true(rig_was_asked(&rig, &change));
        rig_reload(&rig);
        assert_false(rig_was_asked(&rig, &change));

        /* As long as it is not all, it is said. */
        rig.lines = large;
        for (int round = 0; round < 2; round++) {
                rig_answer(&rig, MESSAGE_CHANGE_CACHE, 0, 272 << 20);
                rig_reload(&rig);
                expect_said(&rig,
                            "--cache-size: CacheSize= has changed to 2G, of which a view that "
                            "is up takes 272M: it takes effect when the view is restarted");
                assert_non_null(strstr(rig.heard, "; restart for CacheSize=\n"));
        }
        rig_end(&rig);
}

static void test_the_level_of_the_log(void **state)
{
        static const Line wanted[LINES_MAX] = { { "log-level", "debug" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, wanted);
        rig.options.level = 0;
        rig_reload(&rig);
        assert_false(rig_was_asked(&rig, &change));
        assert_true(log_wants(LOG_LEVEL_DEBUG));
        rig.lines = nothing;
        rig_reload(&rig);
        assert_false(log_wants(LOG_LEVEL_INFO));
        /* What the command line says goes on to count. */
        rig.options.level = LOG_LEVEL_ERROR;
        rig.lines = wanted;
        rig_reload(&rig);
        assert_false(log_wants(LOG_LEVEL_WARNING));
        rig_end(&rig);
}

/* Files that an image names were perhaps opened because nobody but root sees them. */
static void test_what_is_for_root_alone(void **state)
{
        static const Line others[LINES_MAX] = { { "mode", "0444" }, { "cache-size", "8M" } };
        static const Line owner[LINES_MAX] = { { "owner", "7" } };
        static const Line root[LINES_MAX] = { { "mode", "0600" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, others);
        rig.m.image.is_for_root = true;
        rig_answer(&rig, MESSAGE_CHANGE_CACHE, 0, 8 << 20);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_int_equal(change.what, MESSAGE_CHANGE_CACHE);
        expect_said(&rig, "Mode= has changed, but the image names files that were opened for root "
                          "alone: it takes effect when");
        assert_non_null(strstr(rig.heard, "; restart for Mode=\n"));
        assert_int_equal(rig.config.mode, 0400);

        rig.lines = owner;
        rig_answer(&rig, MESSAGE_CHANGE_CACHE, 0, 16 << 20);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_int_equal(change.what, MESSAGE_CHANGE_CACHE);
        assert_false(rig.config.has_owner);

        rig.lines = root;
        rig_answer(&rig, MESSAGE_CHANGE_MODE, 0, 0);
        rig_reload(&rig);
        assert_true(rig_was_asked(&rig, &change));
        assert_int_equal(change.what, MESSAGE_CHANGE_MODE);
        rig_end(&rig);
}

/* Nobody waits for it while the view is being ended, and what it says later is no crime. */
static void test_a_worker_that_does_not_answer(void **state)
{
        static const Line wanted[LINES_MAX] = { { "mode", "0440" } };
        MessageChange change;
        Rig rig;

        rig_start(&rig, nothing, wanted);
        rig.m.stop_asked = 1;
        rig_reload(&rig);
        expect_said(&rig, "cannot be changed now: the view is being ended");
        assert_non_null(strstr(rig.heard, "; the last reload failed\n"));
        assert_int_equal(rig.config.mode, 0400);
        assert_int_equal(rig.m.changes_unanswered, 1);

        rig.m.stop_asked = 0;
        rig_answer(&rig, 0, EPERM, 0);
        rig_answer(&rig, MESSAGE_CHANGE_MODE, 0, 0);
        rig_reload(&rig);
        assert_int_equal(rig.config.mode, 0440);
        assert_true(rig_was_asked(&rig, &change));
        rig_end(&rig);
}

/* Between the signal and the end of a reload the descriptor may change once more. */
static void test_the_next_signal_is_not_lost(void **state)
{
        struct signalfd_siginfo s;
        Rig rig;

        rig_start(&rig, nothing, nothing);
        rig_reload(&rig);
        assert_int_equal(read(rig.m.hangups, &s, sizeof(s)), -1);
        kill(getpid(), SIGHUP);
        assert_int_equal(read(rig.m.hangups, &s, sizeof(s)), sizeof(s));
        rig_end(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_new),
                cmocka_unit_test(test_at_once),
                cmocka_unit_test(test_only_what_has_changed),
                cmocka_unit_test(test_what_wants_a_restart),
                cmocka_unit_test(test_a_descriptor_that_cannot_be_read),
                cmocka_unit_test(test_without_a_descriptor),
                cmocka_unit_test(test_what_the_worker_refuses),
                cmocka_unit_test(test_a_worker_that_says_too_much),
                cmocka_unit_test(test_the_size_of_the_cache),
                cmocka_unit_test(test_the_level_of_the_log),
                cmocka_unit_test(test_what_is_for_root_alone),
                cmocka_unit_test(test_a_worker_that_does_not_answer),
                cmocka_unit_test(test_the_next_signal_is_not_lost),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
