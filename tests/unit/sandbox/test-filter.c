/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each call that the filter must not let through, tried from behind it. */
#include "inmate.h"
#include "sandbox/build.h"
#include "sandbox/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

static int enter(void)
{
        prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
        return filter_enter(NULL);
}

static int enter_nothing(void)
{
        return 0;
}

static int act_read_open(void)
{
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int act_write_open(void)
{
        return open("/dev/null", O_WRONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int act_old_open(void)
{
        return syscall(SYS_open, "/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int act_openat2(void)
{
        uint64_t how[3] = { O_RDONLY | O_CLOEXEC };
        return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how)) < 0 ? errno : 0;
}

static int act_stat(void)
{
        struct stat st;
        return stat("/etc/passwd", &st) < 0 ? errno : 0;
}

static int act_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int act_connect(void)
{
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        return connect(0, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static int act_exec(void)
{
        execl("/bin/true", "true", (char *)NULL);
        return errno;
}

static int act_fork(void)
{
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        return pid < 0 ? errno : 0;
}

static int act_clone3(void)
{
        return syscall(SYS_clone3, NULL, 0UL) < 0 ? errno : 0;
}

static int act_ptrace(void)
{
        return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}

static int act_run_memory(void)
{
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
        return p == MAP_FAILED ? errno : 0;
}

static int act_make_runnable(void)
{
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

static int act_mount(void)
{
        return mount("none", "/nowhere", "tmpfs", 0, NULL) < 0 ? errno : 0;
}

static int act_unmount(void)
{
        return umount2("/nowhere", 0) < 0 ? errno : 0;
}

static int act_namespace(void)
{
        return unshare(CLONE_NEWUSER) < 0 ? errno : 0;
}

static int act_prctl(void)
{
        return prctl(PR_SET_DUMPABLE, 1UL, 0UL, 0UL, 0UL) < 0 ? errno : 0;
}

static int act_kill_other(void)
{
        return kill(getppid(), 0) < 0 ? errno : 0;
}

static int act_signal_other(void)
{
        return syscall(SYS_tgkill, 1, 1, 0) < 0 ? errno : 0;
}

static int act_ioctl(void)
{
        char byte = 0;
        return ioctl(0, TIOCSTI, &byte) < 0 ? errno : 0;
}

static int act_fcntl(void)
{
        return fcntl(0, F_SETOWN, 1) < 0 ? errno : 0;
}

static int act_memfd(void)
{
        return memfd_create("x", 0) < 0 ? errno : 0;
}

static int act_rename(void)
{
        return rename("/nowhere/a", "/nowhere/b") < 0 ? errno : 0;
}

typedef struct Case {
        const char *name;
        int (*act)(void);
        int errno_instead; /* 0: the process ends by SIGSYS */
        int call; /* what a build for sanitizers may let through; -1: it lets nothing through */
} Case;

static const Case cases[] = {
        { "open to read", act_read_open, EACCES, SYS_openat },
        { "open to write", act_write_open, 0, SYS_openat },
        { "the old open", act_old_open, 0, SYS_open },
        { "openat2", act_openat2, 0, -1 },
        { "stat of a path", act_stat, 0, SYS_newfstatat },
        { "socket", act_socket, 0, -1 },
        { "connect", act_connect, 0, -1 },
        { "exec", act_exec, 0, -1 },
        { "fork", act_fork, 0, SYS_clone },
        { "clone3", act_clone3, ENOSYS, SYS_clone3 },
        { "ptrace", act_ptrace, 0, SYS_ptrace },
        { "memory to be run", act_run_memory, 0, -1 },
        { "memory made to be run", act_make_runnable, 0, SYS_mprotect },
        { "mount", act_mount, 0, -1 },
        { "umount", act_unmount, 0, -1 },
        { "a namespace", act_namespace, 0, -1 },
        { "prctl", act_prctl, 0, SYS_prctl },
        { "kill", act_kill_other, 0, SYS_kill },
        { "a signal to a thread of others", act_signal_other, 0, SYS_tgkill },
        { "ioctl", act_ioctl, 0, SYS_ioctl },
        { "fcntl", act_fcntl, 0, SYS_fcntl },
        { "memfd_create", act_memfd, 0, -1 },
        { "rename", act_rename, 0, -1 },
};

static bool case_is_let_through(const Case *c)
{
        for (size_t i = 0; i < sandbox_build.call_count; i++)
                if (sandbox_build.calls[i] == c->call)
                        return true;
        return false;
}

static void test_refused(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                Inmate inmate = { enter, c->act };
                if (case_is_let_through(c))
                        continue;
                int status = inmate_run(&inmate);
                bool as_expected =
                        c->errno_instead
                                ? WIFEXITED(status) && WEXITSTATUS(status) == c->errno_instead
                                : WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
                if (!as_expected)
                        fail_msg("%s: wait status %#x", c->name, status);
        }
}

/* Without the filter none of these acts ends its process. */
static void test_free_without(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Inmate inmate = { enter_nothing, cases[i].act };
                int status = inmate_run(&inmate);
                if (!WIFEXITED(status))
                        fail_msg("%s: wait status %#x", cases[i].name, status);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_free_without),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
