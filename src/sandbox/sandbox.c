/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox/sandbox.h"

#include "base/barrier.h"
#include "base/capabilities.h"
#include "base/memory-limit.h"
#include "sandbox/build.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
        /* All that a broker opens for an image, 900 files, a session for each of 16 threads, and some more. */
        SANDBOX_FILES_MAX = 1024,
};

/* Addresses, not memory: programs and libraries, two heaps of 128 MiB, 16 threads with buffers of 16 MiB at most, and
 * the tables of an image. */
#define SANDBOX_ADDRESSES (UINT64_C(1) << 30)

static bool sandbox_keeps(const SandboxOptions *o, unsigned fd)
{
        for (size_t i = 0; i < o->keep_count; i++)
                if (o->keep[i] >= 0 && (unsigned)o->keep[i] == fd)
                        return true;
        return false;
}

/* What lies between two that are kept is closed in one call. */
static int sandbox_close_files(const SandboxOptions *o, Err *err)
{
        unsigned highest = 2;

        for (size_t i = 0; i < o->keep_count; i++)
                if (o->keep[i] > (int)highest)
                        highest = (unsigned)o->keep[i];
        for (unsigned fd = 3; fd < highest; fd++)
                if (!sandbox_keeps(o, fd))
                        close((int)fd);
        if (syscall(SYS_close_range, highest + 1, ~0U, 0U) < 0)
                return err_set(err, errno, "cannot close descriptors: %m");
        return 0;
}

static int sandbox_limit(__rlimit_resource_t resource, const char *name, rlim_t most, Err *err)
{
        struct rlimit limit;

        if (getrlimit(resource, &limit) < 0)
                return err_set(err, errno, "cannot read the limit of %s: %m", name);
        if (limit.rlim_max > most)
                limit.rlim_max = most;
        if (limit.rlim_cur > limit.rlim_max)
                limit.rlim_cur = limit.rlim_max;
        if (setrlimit(resource, &limit) < 0)
                return err_set(err, errno, "cannot limit %s: %m", name);
        return 0;
}

/* Addresses: what deriving a key takes on top may be asked for, with the soft limit, as long as the hard one has it. */
static int sandbox_limit_memory(const SandboxOptions *o, Err *err)
{
        uint64_t most = o->cache_size + SANDBOX_ADDRESSES;
        struct rlimit limit;

        int r = sandbox_limit(RLIMIT_AS, "memory", o->may_burst ? most + MEMORY_LIMIT_BURST : most,
                              err);
        if (r < 0 || !o->may_burst)
                return r;
        if (getrlimit(RLIMIT_AS, &limit) < 0)
                return err_set(err, errno, "cannot read the limit of memory: %m");
        if (limit.rlim_cur > most)
                limit.rlim_cur = most;
        return setrlimit(RLIMIT_AS, &limit) < 0 ? err_set(err, errno, "cannot limit memory: %m")
                                                : 0;
}

static int sandbox_set_limits(const SandboxOptions *o, Err *err)
{
        int r = sandbox_limit(RLIMIT_NOFILE, "descriptors", SANDBOX_FILES_MAX, err);
        if (r >= 0 && !o->core_dumps)
                r = sandbox_limit(RLIMIT_CORE, "core dumps", 0, err);
        if (r >= 0 && sandbox_build.limits_memory && o->cache_size < RLIM_INFINITY / 4)
                r = sandbox_limit_memory(o, err);
        return r;
}

static int sandbox_switch_user(const SandboxOptions *o, Err *err)
{
        if (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
            setresuid(o->uid, o->uid, o->uid) < 0)
                return err_set(err, errno, "cannot become user %u: %m", (unsigned)o->uid);
        return 0;
}

static int sandbox_drop_capabilities(Err *err)
{
        int r = capabilities_keep(0);
        return r < 0 ? err_set(err, -r, "cannot drop capabilities: %m") : 0;
}

/* Notes what a step that may be lacking has given; other failures stay failures. */
static int sandbox_note(SandboxReport *report, Barrier barrier, int r)
{
        if (r == -EOPNOTSUPP)
                report->lacking |= BARRIER_BIT(barrier);
        else if (r >= 0)
                report->applied |= BARRIER_BIT(barrier);
        return r == -EOPNOTSUPP ? 0 : r;
}

static int sandbox_drop_rights(const SandboxOptions *o, SandboxReport *report, Err *err)
{
        /* Needs CAP_SYS_ADMIN, which an ordinary user has not: what it stops, the filter stops as well. */
        if (unshare(CLONE_NEWNET) == 0)
                report->applied |= BARRIER_BIT(BARRIER_NETWORK);

        int r = sandbox_note(report, BARRIER_LIMITS, sandbox_set_limits(o, err));
        capabilities_bound(0);
        if (r >= 0 && o->switch_user)
                r = sandbox_note(report, BARRIER_USER, sandbox_switch_user(o, err));
        if (r >= 0)
                r = sandbox_note(report, BARRIER_CAPABILITIES, sandbox_drop_capabilities(err));
        return r;
}

/* The parent may have ended before the kernel was told; then somebody else is the parent. */
static int sandbox_end_with_parent(const SandboxOptions *o, Err *err)
{
        if (o->parent == 0)
                return 0;
        if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) < 0)
                return err_set(err, errno, "cannot end with the parent process: %m");
        return getppid() == o->parent ? 0 : err_set(err, ESRCH, "the parent process is gone");
}

static int sandbox_set_dumpable(const SandboxOptions *o, SandboxReport *report, Err *err)
{
        bool dumps = o->core_dumps || (sandbox_build.left_out & BARRIER_BIT(BARRIER_DUMP));

        if (prctl(PR_SET_DUMPABLE, dumps ? 1UL : 0UL, 0UL, 0UL, 0UL) < 0)
                return err_set(err, errno, "cannot %s core dumps: %m", dumps ? "allow" : "forbid");
        if (!dumps)
                report->applied |= BARRIER_BIT(BARRIER_DUMP);
        return 0;
}

/* Changing users makes the process dumpable or not by itself, and frees it from its parent; so this comes later. */
static int sandbox_lock(const SandboxOptions *o, SandboxReport *report, Err *err)
{
        int r = sandbox_end_with_parent(o, err);
        if (r >= 0)
                r = sandbox_set_dumpable(o, report, err);
        if (r < 0)
                return r;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0)
                return err_set(err, errno, "cannot set no_new_privs: %m");
        report->applied |= BARRIER_BIT(BARRIER_PRIVILEGES);
        if (sandbox_build.left_out & BARRIER_BIT(BARRIER_LANDLOCK))
                return 0;
        return sandbox_note(report, BARRIER_LANDLOCK, landlock_enter(err));
}

int sandbox_enter(const SandboxOptions *options, SandboxReport *ret, Err *err)
{
        SandboxReport report = { 0 };

        /* It is read from a file when the first time of day is written, and then never again. */
        tzset();

        int r = sandbox_note(&report, BARRIER_DESCRIPTORS, sandbox_close_files(options, err));
        if (r >= 0)
                r = sandbox_drop_rights(options, &report, err);
        if (r >= 0)
                r = sandbox_lock(options, &report, err);
        if (r >= 0)
                r = sandbox_note(&report, BARRIER_SECCOMP, filter_enter(err));
        if (r < 0)
                return err_prefix(err, r, "cannot be confined");
        if (options->required && report.lacking != 0) {
                char text[BARRIER_TEXT_MAX];
                return err_set(err, EACCES, "the sandbox that is required lacks: %s",
                               barrier_list(report.lacking, text));
        }
        *ret = report;
        return 0;
}
