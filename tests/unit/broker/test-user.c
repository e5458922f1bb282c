/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/user.h"

#include "base/capabilities.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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
        NOBODY = 65534,
};

typedef enum Caller {
        CALLER_ROOT,
        CALLER_POWERLESS, /* root without capabilities */
        CALLER_NOBODY,
} Caller;

/* In a child: the user database says `line`, in a mount namespace of its own. Exits with what was found. */
static _Noreturn void find_in(const char *line, Caller caller)
{
        char path[] = "/tmp/test-user-XXXXXX";
        uint32_t uid = 0, gid = 0;
        int fd = mkstemp(path);

        bool written = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line) &&
                       fchmod(fd, 0644) == 0;
        bool ready = written && unshare(CLONE_NEWNS) == 0 &&
                     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                     mount(path, "/etc/passwd", NULL, MS_BIND, NULL) == 0;
        unlink(path);
        if (!ready || (caller == CALLER_NOBODY && setresuid(NOBODY, NOBODY, NOBODY) < 0) ||
            (caller == CALLER_POWERLESS && capabilities_keep(0) < 0))
                _exit(CANNOT_TRY);
        bool found = broker_find_user(&uid, &gid);
        _exit(found ? uid == 101 && gid == 102 ? 1 : 2 : 0);
}

static void test_whom_root_s_child_becomes(void **state)
{
        static const struct {
                const char *name, *line;
                Caller caller;
                int found;
        } cases[] = {
                { "there is one", "root:x:0:0::/:/bin/sh\nrawview:x:101:102::/:/bin/sh\n",
                  CALLER_ROOT, 1 },
                { "there is none", "root:x:0:0::/:/bin/sh\n", CALLER_ROOT, 0 },
                { "root by another name", "rawview:x:0:102::/:/bin/sh\n", CALLER_ROOT, 0 },
                { "a user stays", "rawview:x:101:102::/:/bin/sh\n", CALLER_NOBODY, 0 },
                { "root who can become nobody", "rawview:x:101:102::/:/bin/sh\n", CALLER_POWERLESS,
                  0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int status = -1;
                pid_t pid = fork();
                if (pid == 0)
                        find_in(cases[i].line, cases[i].caller);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (WEXITSTATUS(status) == CANNOT_TRY)
                        skip();
                if (!WIFEXITED(status) || WEXITSTATUS(status) != cases[i].found)
                        fail_msg("%s: wait status %#x", cases[i].name, (unsigned)status);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whom_root_s_child_becomes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
