#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""trace-confined.py TRACE FOLDER BARRIER…: what `strace -f -y` saw of a command that looks at images in FOLDER.

One process goes behind a filter. It has raised the barriers (the names of system calls) in their order before, nobody but it
ever reads a file of FOLDER, it does that behind the filter only, and there it does what answering from open descriptors
takes and nothing else. The process that opens files for it looks at no name but through reference_open().
"""
import re
import sys

LINE = re.compile(r"(\d+)\s+(\w+)\((.*)")
READS = {"read", "pread64", "readv", "preadv", "preadv2", "mmap", "sendfile", "splice", "copy_file_range"}
BEHIND = set(
    """brk clock_gettime close exit exit_group fadvise64 fallocate fcntl fdatasync fstat fsync ftruncate futex getrandom ioctl lseek madvise
    mmap mprotect mremap munmap newfstatat poll pread64 pwrite64 read recvmsg rt_sigaction rt_sigprocmask sched_getaffinity
    sendmsg sysinfo write""".split()
)
BROKER = set(
    """brk close exit_group fcntl kill mmap munmap newfstatat openat openat2 readlink recvmsg rt_sigaction sendmsg wait4
    write""".split()
)


def events(trace):
    """(pid, call, arguments) in the order in which the calls began."""
    for line in open(trace, encoding="utf-8", errors="replace"):
        m = LINE.match(line)
        if m:
            yield m.groups()


def is_filter(call, arguments):
    return call == "seccomp" and "SECCOMP_SET_MODE_FILTER" in arguments and "{len=" in arguments


def is_barrier(barrier, call, arguments):
    if barrier == "no_new_privs":
        return call == "prctl" and "PR_SET_NO_NEW_PRIVS" in arguments
    return is_filter(call, arguments) if barrier == "seccomp" else call == barrier


def complain_of_reads(seen, child, at, folder):
    for i, (pid, call, arguments) in enumerate(seen):
        if call in READS and f"<{folder}/" in arguments:
            if pid != child:
                yield f"{pid} is not confined and reads: {call}({arguments}"
            elif i < at:
                yield f"read before the filter: {call}({arguments}"


def complain_of_order(seen, child, barriers):
    names = list(barriers)
    for pid, call, arguments in seen:
        if pid == child and names and is_barrier(names[0], call, arguments):
            names.pop(0)
    if names:
        yield f"{names[0]} is missing, or comes at another place than in: {' '.join(barriers)}"


def complain_of_calls(seen, child, at):
    born = next(i for i, (pid, _, _) in enumerate(seen) if pid == child)
    for i, (pid, call, arguments) in enumerate(seen):
        if pid == child:
            if i > at and call not in BEHIND:
                yield f"behind the filter: {call}({arguments}"
            if i > at and call == "newfstatat" and '""' not in arguments:
                yield f"behind the filter a name: {call}({arguments}"
        elif i > born:
            if call not in BROKER:
                yield f"the broker: {call}({arguments}"
            if call == "newfstatat" and '""' not in arguments:
                yield f"the broker looks at a name: {call}({arguments}"


def main(trace, folder, *barriers):
    seen = list(events(trace))
    at = next((i for i, (_, call, arguments) in enumerate(seen) if is_filter(call, arguments)), None)
    if at is None:
        return ["nobody has a filter"]
    child = seen[at][0]
    complaints = [*complain_of_reads(seen, child, at, folder), *complain_of_order(seen, child, barriers)]
    complaints += complain_of_calls(seen, child, at)
    if not any(pid == child and call == "pread64" and f"<{folder}/" in a for pid, call, a in seen):
        complaints.append("nobody reads anything: this trace proves nothing")
    return complaints


if __name__ == "__main__":
    found = main(*sys.argv[1:])
    print("\n".join(found[:20]), file=sys.stderr)
    sys.exit(1 if found else 0)
