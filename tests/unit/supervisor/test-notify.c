/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A service manager, which hears one packet for each call. */
static int manager_listen(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char folder[] = "/tmp/rawview-notify-XXXXXX";

        int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(s >= 0);
        assert_non_null(mkdtemp(folder));
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
        assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
        setenv("NOTIFY_SOCKET", address.sun_path, 1);
        return s;
}

static void manager_close(int s)
{
        char *path = getenv("NOTIFY_SOCKET");

        unlink(path);
        *strrchr(path, '/') = '\0';
        rmdir(path);
        unsetenv("NOTIFY_SOCKET");
        close(s);
}

static void expect_heard(int s, const char *wanted)
{
        char heard[2048];
        ssize_t n = recv(s, heard, sizeof(heard) - 1, 0);

        assert_true(n >= 0);
        heard[n] = '\0';
        assert_string_equal(heard, wanted);
}

static void test_a_status_is_one_line(void **state)
{
        int s = manager_listen();

        notify_status("READY=1", "%s (%s)", "a\nMAINPID=1.qcow2", "x\nMAINPID=1\nREADY=1");
        expect_heard(s, "READY=1\nSTATUS=a?MAINPID=1.qcow2 (x?MAINPID=1?READY=1)");
        notify_status("", "%s", "\033[2J\xff\xc2\x9b");
        expect_heard(s, "STATUS=?[2J??");
        notify_failure(5, "web.qcow2: x\nREADY=1");
        expect_heard(s, "ERRNO=5\nSTATUS=web.qcow2: x?READY=1");
        manager_close(s);
}

static void test_nobody_listens(void **state)
{
        unsetenv("NOTIFY_SOCKET");
        notify_status("READY=1", "well");
        notify_failure(5, "not so well");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_status_is_one_line),
                cmocka_unit_test(test_nobody_listens),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
