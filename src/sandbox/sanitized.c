/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/barrier.h"
#include "sandbox/build.h"

#include <seccomp.h>

/* What AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer of gcc 12 and clang 14 do to
 * write a report: open files, read the process's own memory map, and (leaks) trace their own threads from a clone. */
static const int sanitized_calls[] = {
        SCMP_SYS(access),
        SCMP_SYS(arch_prctl),
        SCMP_SYS(clone),
        SCMP_SYS(clone3),
        SCMP_SYS(dup),
        SCMP_SYS(dup2),
        SCMP_SYS(fcntl),
        SCMP_SYS(fstat),
        SCMP_SYS(getcwd),
        SCMP_SYS(getdents),
        SCMP_SYS(getdents64),
        SCMP_SYS(getegid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getppid),
        SCMP_SYS(getrlimit),
        SCMP_SYS(getrusage),
        SCMP_SYS(getuid),
        SCMP_SYS(ioctl),
        SCMP_SYS(kill),
        SCMP_SYS(lstat),
        SCMP_SYS(nanosleep),
        SCMP_SYS(mincore),
        SCMP_SYS(mkdir),
        SCMP_SYS(mprotect),
        SCMP_SYS(mremap),
        SCMP_SYS(msync),
        SCMP_SYS(newfstatat),
        SCMP_SYS(open),
        SCMP_SYS(openat),
        SCMP_SYS(personality),
        SCMP_SYS(pipe),
        SCMP_SYS(pipe2),
        SCMP_SYS(prctl),
        SCMP_SYS(prlimit64),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(ptrace),
        SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),
        SCMP_SYS(rt_sigpending),
        SCMP_SYS(rt_sigtimedwait),
        SCMP_SYS(sched_getparam),
        SCMP_SYS(sched_getscheduler),
        SCMP_SYS(setrlimit),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(stat),
        SCMP_SYS(tgkill),
        SCMP_SYS(tkill),
        SCMP_SYS(uname),
        SCMP_SYS(unlink),
        SCMP_SYS(wait4),
        SCMP_SYS(waitid),
};

const SandboxBuild sandbox_build = {
        .left_out = BARRIER_BIT(BARRIER_LANDLOCK) | BARRIER_BIT(BARRIER_DUMP),
        .limits_memory = false,
        .calls = sanitized_calls,
        .call_count = sizeof(sanitized_calls) / sizeof(sanitized_calls[0]),
};
