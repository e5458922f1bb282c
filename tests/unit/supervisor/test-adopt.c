/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections as a launcher hands them over, mounted in a mount namespace of a child. */
#include "supervisor/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        CANNOT_TRY = 77,
        REQUEST_MAX = 64 << 10,
};

static void test_device(void **state)
{
        static const struct {
                const char *text;
                unsigned device;
        } cases[] = {
                { "pos:\t0\nflags:\t02100002\nmnt_id:\t83\nino:\t90\nfuse_connection:\t39\n", 39 },
                { "fuse_connection:\t7\nino:\t90\n", 7 },
                { "pos:\t0\nflags:\t02100002\nmnt_id:\t83\nino:\t90\n", 0 },
                { "not_fuse_connection:\t39\n", 0 },
                { "fuse_connection:\tx\n", 0 },
                { "fuse_connection:\t99999999999999999999\n", 0 },
                { "fuse_connection:", 0 },
                { "\n\n", 0 },
                { "", 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (adopt_find_device(cases[i].text) != cases[i].device)
                        fail_msg("case %zu: %u", i, adopt_find_device(cases[i].text));
}

static void test_no_connection(void **state)
{
        Target t = TARGET_NONE;
        Mount m = MOUNT_NONE;
        Err err = { "" };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        assert_int_equal(adopt_connection(null, &t, &m, &err), -ENOTTY);
        assert_string_equal(err.text, "is not an open /dev/fuse");
        close(null);
        assert_int_equal(adopt_connection(null, &t, &m, &err), -EBADF);

        int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fuse < 0)
                skip();
        assert_int_equal(adopt_connection(fuse, &t, &m, &err), -ENOTCONN);
        assert_int_equal(m.fuse_fd, -1);
        assert_null(t.path);
        close(fuse);
}

typedef struct Launch {
        const char *name, *options;
        bool folder, answered;
        int result;
        bool needs_mount; /* seen only where the kernel tells which mount it is */
} Launch;

static int launch_look(const Launch *l, const char *path, int fd)
{
        Target t = TARGET_NONE;
        Mount m = MOUNT_NONE;
        Err err = { "" };

        int r = adopt_connection(fd, &t, &m, &err);
        if (l->needs_mount && r == 0 && t.parent < 0)
                return CANNOT_TRY;
        if (r != l->result) {
                fprintf(stderr, "%s: %d, %s\n", l->name, r, err.text);
                return 1;
        }
        if (r < 0)
                return 0;
        if (!m.adopted || m.fuse_fd != fd || m.id != 0 || (fcntl(fd, F_GETFL) & O_NONBLOCK))
                return 2;
        char unknown[32];
        snprintf(unknown, sizeof(unknown), "/dev/fd/%d", fd);
        if (strcmp(t.path, t.parent < 0 ? unknown : path) != 0)
                return 3;
        if (t.parent >= 0 && m.allow_other != (strstr(l->options, "allow_other") != NULL))
                return 4;
        /* There is nothing of ours to take away. */
        return mount_end(&m, &t, true, &err) == 1 ? 0 : 5;
}

static _Noreturn void launch_in_child(const Launch *l)
{
        char path[] = "/tmp/test-adopt-XXXXXX", options[256];
        int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0 || unshare(CLONE_NEWNS) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                _exit(CANNOT_TRY);
        if (l->folder ? !mkdtemp(path) : close(mkstemp(path)) < 0)
                _exit(CANNOT_TRY);
        snprintf(options, sizeof(options), "fd=%d,rootmode=%s,user_id=%u,group_id=0%s", fd,
                 l->folder ? "40000" : "100000", geteuid(), l->options);
        int r = mount("launched", path, "fuse.launched", 0, options);
        char request[REQUEST_MAX];
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (r == 0 && l->answered &&
            (poll(&p, 1, 5000) != 1 || read(fd, request, sizeof(request)) < 0))
                r = -1;
        int status = r < 0 ? CANNOT_TRY : launch_look(l, path, fd);
        umount2(path, MNT_DETACH);
        remove(path);
        _exit(status);
}

static void test_launched(void **state)
{
        static const Launch cases[] = {
                { "a file", ",default_permissions", false, false, 0, false },
                { "for all", ",default_permissions,allow_other", false, false, 0, false },
                { "for all without a check", ",allow_other", false, false, -EPERM, true },
                { "a folder", ",default_permissions", true, false, -EISDIR, true },
                { "served already", ",default_permissions", false, true, -EBUSY, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int status = -1;
                pid_t pid = fork();
                if (pid == 0)
                        launch_in_child(&cases[i]);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_TRY)
                        print_message("%s: cannot be tried here\n", cases[i].name);
                else if (status != 0)
                        fail_msg("%s: wait status %#x", cases[i].name, (unsigned)status);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_device),
                cmocka_unit_test(test_no_connection),
                cmocka_unit_test(test_launched),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
