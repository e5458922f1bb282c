/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for the service manager, which hears one packet for each call of sd_notify. One at a time; a test owns it.
 */
#pragma once

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

static inline int manager_listen(void)
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

static inline void manager_close(int s)
{
        char *path = getenv("NOTIFY_SOCKET");

        unlink(path);
        *strrchr(path, '/') = '\0';
        rmdir(path);
        unsetenv("NOTIFY_SOCKET");
        close(s);
}

static inline void expect_heard(int s, const char *wanted)
{
        char heard[2048];
        ssize_t n = recv(s, heard, sizeof(heard) - 1, 0);

        assert_true(n >= 0);
        heard[n] = '\0';
        assert_string_equal(heard, wanted);
}

static inline void expect_silence(int s)
{
        char heard[2048] = "";
        ssize_t n = recv(s, heard, sizeof(heard) - 1, 0);

        if (n >= 0)
                fail_msg("heard: %s", heard);
}
