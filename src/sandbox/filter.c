/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox/filter.h"

#include "base/cleanup.h"
#include "base/clone-flags.h"
#include "sandbox/build.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILTER_NAMESPACES                                                              \
        (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
         CLONE_NEWPID | CLONE_NEWNET)

typedef struct FilterRule {
        int call;
        uint32_t action;
        struct scmp_arg_cmp argument;
} FilterRule;

/* Whatever their arguments. Of these none gives a descriptor, a process, a file or memory that can be run. */
static const int filter_calls[] = {
        /* requests and the image */
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(readv),
        SCMP_SYS(writev),
        SCMP_SYS(pread64),
        SCMP_SYS(preadv2),
        SCMP_SYS(fadvise64),
        SCMP_SYS(pwrite64),
        SCMP_SYS(fstat),
        SCMP_SYS(lseek),
        SCMP_SYS(_llseek),
        SCMP_SYS(fallocate),
        SCMP_SYS(ftruncate),
        SCMP_SYS(fadvise64),
        SCMP_SYS(fadvise64_64),
        SCMP_SYS(sync_file_range),
        SCMP_SYS(sync_file_range2),
        SCMP_SYS(fdatasync),
        SCMP_SYS(fsync),
        SCMP_SYS(close),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        /* the channel, which brings descriptors; no socket can be made */
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendmsg),
        /* memory */
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        /* threads */
        SCMP_SYS(futex),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(rseq),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(sched_yield),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(getuid),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        /* time, chance, and how much memory there is (qsort) */
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(getrandom),
        SCMP_SYS(sysinfo),
};

static const FilterRule filter_rules[] = {
        /* Never memory that can be run, neither from the start nor later. */
        { SCMP_SYS(mmap), SCMP_ACT_ALLOW, SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
        { SCMP_SYS(mprotect), SCMP_ACT_ALLOW, SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
        /* Threads only, in the namespaces where we are. clone3 has its flags in memory, where a filter cannot look: the
         * C library takes clone when it is told that there is no clone3. */
        { SCMP_SYS(clone), SCMP_ACT_ALLOW,
          SCMP_CMP64(CLONE_FLAGS_ARGUMENT,
                     SCMP_CMP_MASKED_EQ,
                     CLONE_THREAD | FILTER_NAMESPACES,
                     CLONE_THREAD) },
        { SCMP_SYS(clone3), SCMP_ACT_ERRNO(ENOSYS) },
        /* fstat() of the C library. */
        { SCMP_SYS(newfstatat), SCMP_ACT_ALLOW, SCMP_A3_64(SCMP_CMP_EQ, AT_EMPTY_PATH) },
        { SCMP_SYS(ioctl), SCMP_ACT_ALLOW, SCMP_A1_64(SCMP_CMP_EQ, BLKGETSIZE64) },
        { SCMP_SYS(ioctl), SCMP_ACT_ALLOW, SCMP_A1_64(SCMP_CMP_EQ, TCGETS) },
        { SCMP_SYS(fcntl), SCMP_ACT_ALLOW, SCMP_A1_64(SCMP_CMP_EQ, F_DUPFD_CLOEXEC) },
        { SCMP_SYS(fcntl), SCMP_ACT_ALLOW, SCMP_A1_64(SCMP_CMP_EQ, F_GETFD) },
        { SCMP_SYS(fcntl), SCMP_ACT_ALLOW, SCMP_A1_64(SCMP_CMP_EQ, F_GETFL) },
        /* libblkid asks for no readahead; it can live without. */
        { SCMP_SYS(fadvise64), SCMP_ACT_ERRNO(EINVAL) },
        { SCMP_SYS(fadvise64_64), SCMP_ACT_ERRNO(EINVAL) },
        { SCMP_SYS(arm_fadvise64_64), SCMP_ACT_ERRNO(EINVAL) },
        /* glibc looks at /proc/sys/vm/overcommit_memory before it gives memory of a thread back, with just these flags.
         * It can live without: nothing is opened. All other opening ends the process. */
        { SCMP_SYS(openat), SCMP_ACT_ERRNO(EACCES), SCMP_A2_64(SCMP_CMP_EQ, O_RDONLY | O_CLOEXEC) },
};

static void filter_release(scmp_filter_ctx *filter)
{
        seccomp_release(*filter);
}

static bool filter_is_free(int call)
{
        for (size_t i = 0; i < sandbox_build.call_count; i++)
                if (sandbox_build.calls[i] == call)
                        return true;
        return false;
}

static int filter_add_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < count; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        return r;
}

static int filter_fill(scmp_filter_ctx filter)
{
        int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r >= 0)
                r = filter_add_calls(filter, sandbox_build.calls, sandbox_build.call_count);
        for (size_t i = 0; r >= 0 && i < sizeof(filter_calls) / sizeof(filter_calls[0]); i++)
                if (!filter_is_free(filter_calls[i]))
                        r = filter_add_calls(filter, &filter_calls[i], 1);
        for (size_t i = 0; r >= 0 && i < sizeof(filter_rules) / sizeof(filter_rules[0]); i++) {
                const FilterRule *rule = &filter_rules[i];
                /* A rule that looks at no argument has all of it zero, which is no comparison of seccomp's. */
                unsigned count = rule->argument.op == 0 ? 0 : 1;
                if (!filter_is_free(rule->call))
                        r = seccomp_rule_add_array(filter, rule->action, rule->call, count,
                                                   &rule->argument);
        }
        /* More or fewer addresses of our own, within the hard limit: base/memory-limit.h. */
        if (r >= 0 && !filter_is_free(SCMP_SYS(prlimit64)))
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                                     SCMP_A0_64(SCMP_CMP_EQ, 0),
                                     SCMP_A1_64(SCMP_CMP_EQ, RLIMIT_AS));
        /* pthread_kill: to our own threads. */
        if (r >= 0 && !filter_is_free(SCMP_SYS(tgkill)))
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                     SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
        return r;
}

int filter_enter(Err *err)
{
        _cleanup_(filter_release) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (!filter)
                return err_set(err, ENOMEM, "no memory for a seccomp filter");

        int r = filter_fill(filter);
        if (r < 0)
                return err_set(err, -r, "cannot write a seccomp filter: %m");
        r = seccomp_load(filter);
        if (r == -ECANCELED || r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP)
                return err_set(err, EOPNOTSUPP, "the kernel takes no seccomp filter");
        return r < 0 ? err_set(err, -r, "cannot set a seccomp filter: %m") : 0;
}
