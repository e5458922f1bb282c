/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into the command by afl.py. The command looks at images in a child, and says in words when that was killed: by its own
 * fault, by the filter of the sandbox (SIGSYS), or by the command, because it broke the rules. A fuzzer hears signals only, so here
 * the end of the child is the end of the command. The process that AFL++ starts is no command but forks them, and waits for them
 * with the same call.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t first;

__attribute__((constructor)) static void tell_begin(void)
{
        first = getpid();
}

pid_t waitpid(pid_t pid, int *status, int options)
{
        int end = 0;
        pid_t ended = (pid_t)syscall(SYS_wait4, pid, &end, options, NULL);

        if (ended > 0 && WIFSIGNALED(end) && getpid() != first)
                abort();
        if (status)
                *status = end;
        return ended;
}
