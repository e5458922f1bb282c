#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""random-reads.py FILE [write]: eight threads read all over FILE, 1 MiB at a time, and write there where they may. An
image that is made to cost much may answer with errors: that is no failure."""
import os
import random
import sys
import threading

THREADS = 8
REQUESTS = 30
LENGTH = 1 << 20


def run(path, writes, seed):
    rng = random.Random(seed)
    # Past the page cache: the server is to see all that is asked.
    fd = os.open(path, os.O_RDWR if writes else os.O_RDONLY)
    size = os.fstat(fd).st_size
    for n in range(REQUESTS):
        off = rng.randrange(max(size - LENGTH, 1)) & ~4095
        try:
            if writes and n % 2:
                # Short pieces far from each other change as many tables as can be.
                for _ in range(16):
                    os.pwrite(fd, b"x" * 512, rng.randrange(max(size - 512, 1)) & ~511)
            else:
                os.posix_fadvise(fd, off, LENGTH, os.POSIX_FADV_DONTNEED)
                os.pread(fd, LENGTH, off)
        except OSError:
            pass
    try:
        os.fsync(fd)
    except OSError:
        pass
    os.close(fd)


def main():
    path, writes = sys.argv[1], sys.argv[2:] == ["write"]
    threads = [threading.Thread(target=run, args=(path, writes, n)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
