/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "escapes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The errno of a call that gave -1. */
static int met(long result)
{
        return result < 0 ? errno : 0;
}

static void beside(const EscapeTargets *t, char path[256])
{
        snprintf(path, 256, "%s.new", t->secret);
}

static int act_open(const EscapeTargets *t)
{
        return met(open(t->secret, O_RDONLY));
}

static int act_open_as_libc(const EscapeTargets *t)
{
        return met(open(t->secret, O_RDONLY | O_CLOEXEC));
}

static int act_open_public(const EscapeTargets *t)
{
        return met(open("/etc/passwd", O_RDONLY));
}

static int act_open_to_write(const EscapeTargets *t)
{
        return met(open(t->secret, O_WRONLY));
}

static int act_old_open(const EscapeTargets *t)
{
#ifdef SYS_open
        return met(syscall(SYS_open, t->secret, O_RDONLY | O_CLOEXEC));
#else
        return met(syscall(SYS_openat, AT_FDCWD, t->secret, O_RDONLY | O_CLOEXEC));
#endif
}

static int act_openat2(const EscapeTargets *t)
{
        uint64_t how[3] = { O_RDONLY | O_CLOEXEC };
        return met(syscall(SYS_openat2, AT_FDCWD, t->secret, how, sizeof(how)));
}

static int act_create(const EscapeTargets *t)
{
        char path[256];

        beside(t, path);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        return fd < 0 ? errno : met(unlink(path));
}

/* What was given to be read, opened once more to be written. */
static int act_open_again(const EscapeTargets *t)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", t->image);
        return met(open(path, O_RDWR));
}

static int act_open_by_handle(const EscapeTargets *t)
{
        struct file_handle *handle = calloc(1, sizeof(*handle) + 64);

        handle->handle_bytes = 8;
        return met(open_by_handle_at(AT_FDCWD, handle, O_RDONLY));
}

static int act_name_to_handle(const EscapeTargets *t)
{
        struct file_handle *handle = calloc(1, sizeof(*handle) + 128);
        int id;

        handle->handle_bytes = 128;
        return met(name_to_handle_at(AT_FDCWD, "/etc", handle, &id, 0));
}

static int act_stat(const EscapeTargets *t)
{
        struct stat st;
        return met(stat("/etc/passwd", &st));
}

static int act_statx(const EscapeTargets *t)
{
        struct statx st;
        return met(statx(AT_FDCWD, "/etc/passwd", 0, STATX_MODE, &st));
}

static int act_list(const EscapeTargets *t)
{
        char names[1024];
        return met(syscall(SYS_getdents64, t->image, names, sizeof(names)));
}

static int act_unlink(const EscapeTargets *t)
{
        int r = met(unlink(t->secret));
        return r != 0 ? r : met(open(t->secret, O_WRONLY | O_CREAT | O_EXCL, 0600));
}

static int act_rename(const EscapeTargets *t)
{
        char path[256];

        beside(t, path);
        int r = met(rename(t->secret, path));
        return r != 0 ? r : met(rename(path, t->secret));
}

static int act_truncate(const EscapeTargets *t)
{
        return met(truncate(t->secret, 0));
}

static int act_chmod(const EscapeTargets *t)
{
        return met(chmod(t->secret, 0600));
}

static int act_chown(const EscapeTargets *t)
{
        return met(chown(t->secret, 0, 0));
}

static int act_mknod(const EscapeTargets *t)
{
        char path[256];

        beside(t, path);
        int r = met(mknod(path, S_IFIFO | 0600, 0));
        return r != 0 ? r : met(unlink(path));
}

static int act_mkdir(const EscapeTargets *t)
{
        char path[256];

        beside(t, path);
        int r = met(mkdir(path, 0700));
        return r != 0 ? r : met(rmdir(path));
}

static int act_symlink(const EscapeTargets *t)
{
        char path[256];

        beside(t, path);
        int r = met(symlink(t->secret, path));
        return r != 0 ? r : met(unlink(path));
}

static int act_socket_unix(const EscapeTargets *t)
{
        return met(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int act_socket_inet(const EscapeTargets *t)
{
        return met(socket(AF_INET, SOCK_STREAM, 0));
}

static int act_socket_netlink(const EscapeTargets *t)
{
        return met(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int act_socketpair(const EscapeTargets *t)
{
        int pair[2];
        return met(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int act_connect(const EscapeTargets *t)
{
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        return met(connect(0, (struct sockaddr *)&to, sizeof(to)));
}

static int act_exec(const EscapeTargets *t)
{
        execl("/bin/true", "true", (char *)NULL);
        return errno;
}

static int wait_for(pid_t pid)
{
        if (pid == 0)
                _exit(0);
        return pid < 0 ? errno : met(waitpid(pid, NULL, 0));
}

static int act_fork(const EscapeTargets *t)
{
        return wait_for(fork());
}

static int act_vfork(const EscapeTargets *t)
{
        pid_t pid = vfork();

        if (pid == 0)
                _exit(0);
        return pid < 0 ? errno : met(waitpid(pid, NULL, 0));
}

static int act_clone_process(const EscapeTargets *t)
{
        return wait_for((pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int act_clone3(const EscapeTargets *t)
{
        uint64_t arguments[11] = { [4] = SIGCHLD };
        return wait_for((pid_t)syscall(SYS_clone3, arguments, sizeof(arguments)));
}

static int act_user_namespace(const EscapeTargets *t)
{
        return met(unshare(CLONE_NEWUSER));
}

static int act_mount_namespace(const EscapeTargets *t)
{
        return met(unshare(CLONE_NEWNS));
}

static int act_setns(const EscapeTargets *t)
{
        return met(setns(t->image, CLONE_NEWNET));
}

static int act_ptrace(const EscapeTargets *t)
{
        return met(ptrace(PTRACE_SEIZE, t->other, NULL, NULL));
}

static int act_traceme(const EscapeTargets *t)
{
        return met(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int act_read_memory(const EscapeTargets *t)
{
        char byte;
        struct iovec here = { &byte, 1 };
        /* Where it is not mapped in any process. */
        struct iovec there = { (void *)4096, 1 };
        return met(process_vm_readv(t->other, &here, 1, &there, 1, 0));
}

static int act_pidfd_open(const EscapeTargets *t)
{
        return met(syscall(SYS_pidfd_open, t->other, 0U));
}

static int act_pidfd_getfd(const EscapeTargets *t)
{
        return met(syscall(SYS_pidfd_getfd, t->image, 0, 0U));
}

static int act_kill(const EscapeTargets *t)
{
        return met(kill(t->other, 0));
}

static int act_kill_thread(const EscapeTargets *t)
{
        return met(syscall(SYS_tgkill, t->other, t->other, 0));
}

static int act_setuid(const EscapeTargets *t)
{
        return met(setresuid(0, 0, 0));
}

static int act_setgid(const EscapeTargets *t)
{
        return met(setresgid(0, 0, 0));
}

static int act_capset(const EscapeTargets *t)
{
        uint32_t header[2] = { 0x20080522 };
        uint32_t sets[6] = { [1] = 1U << 21 };
        return met(syscall(SYS_capset, header, sets));
}

static int act_dumpable(const EscapeTargets *t)
{
        return met(prctl(PR_SET_DUMPABLE, 1UL, 0UL, 0UL, 0UL));
}

static int act_raise_limit(const EscapeTargets *t)
{
        struct rlimit limit = { 4096, 4096 };
        return met(setrlimit(RLIMIT_NOFILE, &limit));
}

static int act_chroot(const EscapeTargets *t)
{
        return met(chroot("/"));
}

/* No file system has such a name: ENODEV is what root meets. */
static int act_mount(const EscapeTargets *t)
{
        return met(mount("none", "/", "nothing", 0, NULL));
}

/* The root never expires: root meets EINVAL. */
static int act_unmount(const EscapeTargets *t)
{
        return met(umount2("/", MNT_EXPIRE));
}

static int act_run_memory(const EscapeTargets *t)
{
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
        return p == MAP_FAILED ? errno : 0;
}

static int act_make_runnable(const EscapeTargets *t)
{
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return met(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int act_memfd(const EscapeTargets *t)
{
        return met(memfd_create("x", 0));
}

static int act_shared_memory(const EscapeTargets *t)
{
        int id = shmget(IPC_PRIVATE, 4096, 0600);
        return id < 0 ? errno : met(shmctl(id, IPC_RMID, NULL));
}

static int act_bpf(const EscapeTargets *t)
{
        return met(syscall(SYS_bpf, 0, NULL, 0));
}

static int act_perf(const EscapeTargets *t)
{
        return met(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL));
}

static int act_keyctl(const EscapeTargets *t)
{
        return met(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}

static int act_io_uring(const EscapeTargets *t)
{
        uint32_t parameters[32] = { 0 };
        return met(syscall(SYS_io_uring_setup, 1U, parameters));
}

static int act_userfaultfd(const EscapeTargets *t)
{
        return met(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int act_terminal(const EscapeTargets *t)
{
        char byte = 0;
        return met(ioctl(t->image, TIOCSTI, &byte));
}

static int act_fcntl(const EscapeTargets *t)
{
        return met(fcntl(t->image, F_SETOWN, getpid()));
}

static int act_hostname(const EscapeTargets *t)
{
        return met(syscall(SYS_sethostname, NULL, -1));
}

/* This clock cannot be set: root meets EINVAL. */
static int act_clock(const EscapeTargets *t)
{
        struct timespec now = { 0 };
        return met(clock_settime(CLOCK_MONOTONIC, &now));
}

static int act_swap(const EscapeTargets *t)
{
        return met(swapon("/nowhere", 0));
}

static int act_module(const EscapeTargets *t)
{
        return met(syscall(SYS_init_module, NULL, 0UL, ""));
}

/* Without its magic numbers. */
static int act_reboot(const EscapeTargets *t)
{
        return met(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static int act_kernel_log(const EscapeTargets *t)
{
        char line[16];
        return met(syscall(SYS_syslog, 3, line, sizeof(line)));
}

/* By which call the C library does it: younger architectures have the old ones no more. */
#ifdef SYS_open
enum { CALL_OPEN = SYS_open, CALL_UNLINK = SYS_unlink, CALL_MKDIR = SYS_mkdir };
#else
enum { CALL_OPEN = SYS_openat, CALL_UNLINK = SYS_unlinkat, CALL_MKDIR = SYS_mkdirat };
#endif

const Escape escapes[] = {
        { "open", act_open, 0, SYS_openat },
        { "open as the C library does", act_open_as_libc, EACCES, SYS_openat },
        { "open what everybody may read", act_open_public, 0, SYS_openat },
        { "open to write", act_open_to_write, 0, SYS_openat },
        { "the old open", act_old_open, 0, CALL_OPEN },
        { "openat2", act_openat2, 0, -1 },
        { "create a file", act_create, 0, SYS_openat },
        { "open the image again to write", act_open_again, 0, SYS_openat },
        { "open by handle", act_open_by_handle, 0, -1 },
        { "handle of a path", act_name_to_handle, 0, -1 },
        { "stat of a path", act_stat, 0, SYS_newfstatat },
        { "statx of a path", act_statx, 0, -1 },
        { "list a folder", act_list, 0, SYS_getdents64 },
        { "unlink", act_unlink, 0, CALL_UNLINK },
        { "rename", act_rename, 0, -1 },
        { "truncate by path", act_truncate, 0, -1 },
        { "chmod", act_chmod, 0, -1 },
        { "chown", act_chown, 0, -1 },
        { "mknod", act_mknod, 0, -1 },
        { "mkdir", act_mkdir, 0, CALL_MKDIR },
        { "symlink", act_symlink, 0, -1 },
        { "a unix socket", act_socket_unix, 0, -1 },
        { "an internet socket", act_socket_inet, 0, -1 },
        { "a netlink socket", act_socket_netlink, 0, -1 },
        { "socketpair", act_socketpair, 0, -1 },
        { "connect", act_connect, 0, -1 },
        { "exec", act_exec, 0, -1 },
        { "fork", act_fork, 0, SYS_clone },
        /* ThreadSanitizer makes a fork of it. */
        { "vfork", act_vfork, 0, SYS_clone },
        { "clone of a process", act_clone_process, 0, SYS_clone },
        { "clone3", act_clone3, ENOSYS, SYS_clone3 },
        { "a user namespace", act_user_namespace, 0, -1 },
        { "a mount namespace", act_mount_namespace, 0, -1 },
        { "setns", act_setns, 0, -1 },
        { "ptrace of the supervisor", act_ptrace, 0, SYS_ptrace },
        { "ptrace by the parent", act_traceme, 0, SYS_ptrace },
        { "memory of the supervisor", act_read_memory, 0, SYS_process_vm_readv },
        { "pidfd_open", act_pidfd_open, 0, -1 },
        { "pidfd_getfd", act_pidfd_getfd, 0, -1 },
        { "kill the supervisor", act_kill, 0, SYS_kill },
        { "a signal to its thread", act_kill_thread, 0, SYS_tgkill },
        { "setresuid", act_setuid, 0, -1 },
        { "setresgid", act_setgid, 0, -1 },
        { "capset", act_capset, 0, -1 },
        { "PR_SET_DUMPABLE", act_dumpable, 0, SYS_prctl },
        { "setrlimit", act_raise_limit, 0, SYS_prlimit64 },
        { "chroot", act_chroot, 0, -1 },
        { "mount", act_mount, 0, -1 },
        { "umount", act_unmount, 0, -1 },
        { "memory to be run", act_run_memory, 0, -1 },
        { "memory made to be run", act_make_runnable, 0, SYS_mprotect },
        { "memfd_create", act_memfd, 0, -1 },
        { "shared memory", act_shared_memory, 0, -1 },
        { "bpf", act_bpf, 0, -1 },
        { "perf_event_open", act_perf, 0, -1 },
        { "keyctl", act_keyctl, 0, -1 },
        { "io_uring", act_io_uring, 0, -1 },
        { "userfaultfd", act_userfaultfd, 0, -1 },
        { "ioctl", act_terminal, 0, SYS_ioctl },
        { "fcntl", act_fcntl, 0, SYS_fcntl },
        { "sethostname", act_hostname, 0, -1 },
        { "clock_settime", act_clock, 0, -1 },
        { "swapon", act_swap, 0, -1 },
        { "init_module", act_module, 0, -1 },
        { "reboot", act_reboot, 0, -1 },
        { "the kernel's log", act_kernel_log, 0, -1 },
};

const size_t escape_count = sizeof(escapes) / sizeof(escapes[0]);
