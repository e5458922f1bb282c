/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that holds the view's own loop device is one of those that are watched. */
#include "ipc/channel.h"
#include "supervisor/manager.h"
#include "supervisor/watch.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

/* A child that has been killed, not yet waited for. */
static LoopHolder make_dead(bool is_up)
{
        pid_t pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        pause();
        }
        LoopHolder h = { .pid = pid,
                         .pidfd = pidfd_open(pid, 0),
                         .channel = -1,
                         .report.number = 5,
                         .is_up = is_up };
        kill(pid, SIGKILL);
        struct pollfd p = { .fd = h.pidfd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, 5000), 1);
        return h;
}

static void test_its_end_is_seen(void **state)
{
        char view[] = "/run/web";

        for (int up = 0; up < 2; up++) {
                Message message;
                int ends[2];

                assert_int_equal(channel_pair(ends, NULL), 0);
                Manager m = { .stage = STAGE_SERVING,
                              .signals = -1,
                              .hangups = -1,
                              .waiter = -1,
                              .target.path = view,
                              .worker = { .pid = -1, .pidfd = -1, .channel = ends[0] },
                              .loop = make_dead(up == 1) };
                pid_t pid = m.loop.pid;
                assert_int_equal(watch_step(&m, -1, 0), 0);
                /* Whoever lets go of it waits for its end himself. */
                assert_int_equal(m.loop.pid, up ? -1 : pid);
                assert_int_equal(m.loop_lost, up == 1);
                assert_int_equal(m.failure_code, 0);
                assert_int_equal(m.stop_asked, 0);
                if (up) {
                        assert_int_equal(channel_receive(ends[1], &message, NULL, NULL), 1);
                        assert_int_equal(message.kind, MESSAGE_LOOP);
                        assert_int_equal(message.loop.number, MESSAGE_LOOP_LOST);
                }
                loop_holder_done(&m.loop);
                close(ends[0]);
                close(ends[1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_its_end_is_seen),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
