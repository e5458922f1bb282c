/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/notify.h"

#include "service-manager.h"

static void test_a_status_is_one_line(void **state)
{
        int s = manager_listen();

        notify_status("READY=1", "%s (%s)", "a\nMAINPID=1.qcow2", "x\nMAINPID=1\nREADY=1");
        expect_heard(s, "READY=1\nSTATUS=a?MAINPID=1.qcow2 (x?MAINPID=1?READY=1)");
        notify_status("", "%s", "\033[2J\xff\xc2\x9b");
        expect_heard(s, "STATUS=?[2J??");
        notify_failure(5, "web.qcow2: x\nREADY=1");
        expect_heard(s, "ERRNO=5\nSTATUS=web.qcow2: x?READY=1");
        notify_ask_for_time(90 * 60 * 1000);
        expect_heard(s, "EXTEND_TIMEOUT_USEC=5400000000");
        manager_close(s);
}

static void test_nobody_listens(void **state)
{
        unsetenv("NOTIFY_SOCKET");
        notify_status("READY=1", "well");
        notify_failure(5, "not so well");
        notify_ask_for_time(1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_status_is_one_line),
                cmocka_unit_test(test_nobody_listens),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
